import koffi from 'koffi'
import { Memory } from '../os/libc.js'

/** A session of the library (`sasl_conn_t *`) as a plain number, because it is passed between threads. */
export type SaslConnection = number

/** Return codes: 0, 1 (go on), negative ones are failures. */
export const SASL_OK = 0
export const SASL_CONTINUE = 1
const SASL_NOMECH = -4

const SUCCESS_DATA = 0x4
const PROPERTY = { userName: 0, ssf: 1, maxOut: 2, externalSsf: 100, security: 101 } as const
/** Of a connection: what it wants; of a mechanism: what it grants. */
export const NO_PLAINTEXT = 0x01
export const NO_ANONYMOUS = 0x10

export interface SaslParameters {
  /** `192.0.2.1;16509`, as the library wants it. */
  local: string
  remote: string
  /** Nobody can listen in: TLS, or a UNIX socket. */
  secure: boolean
  /** Least strength of the encryption that SASL is to bring, where the connection is not secure. */
  minSsf: number
  /** Strength of the encryption that is there already, in bits of key. */
  externalSsf: number
}

/** A call's result: the code, and what it gives to send. `data` undefined differs from empty. */
export interface SaslOutput {
  code: number
  data: Buffer | undefined
}

/** A call of the library has failed; the reason is for the log. */
export class SaslFailure extends Error {}

/** Bytes that one thread can take from one call at once; larger output takes larger memory. */
const FIRST_OUTPUT_BYTES = 160 * 1024

/**
 * libsasl2, for one thread. The library takes no locks unless the program gives it some, so all calls but `encode` and
 * `decode` belong to one thread of the process. Those two touch nothing but their connection.
 */
export class Libsasl {
  readonly #memcpy = koffi.load(null).func('uintptr_t memcpy(uintptr_t, uintptr_t, size_t)') as (
    to: number,
    from: number,
    count: number
  ) => number
  readonly #functions: ReturnType<typeof declare>
  /** Where functions put their result: a pointer, and a length. */
  readonly #out = new Memory(16)
  readonly #properties = new Memory(64)
  readonly #outAt = this.#out.address
  readonly #lengthAt = this.#out.address + 8
  #output: Memory | undefined

  /** Throws when the library is not there. */
  constructor() {
    this.#functions = declare(koffi.load('libsasl2.so.2'))
  }

  /** Once in the process, before anything else. Throws SaslFailure. */
  initialise(): void {
    const code = this.#functions.serverInit(0, 'libvirt')
    if (code !== SASL_OK) throw new SaslFailure(`sasl_server_init, libvirt.conf: ${this.#functions.errorString(code)}`)
  }

  /** Throws SaslFailure. */
  create({ local, remote, secure, minSsf, externalSsf }: SaslParameters): SaslConnection {
    const code = this.#functions.serverNew('libvirt', null, null, local, remote, 0, SUCCESS_DATA, this.#outAt)
    if (code !== SASL_OK) throw new SaslFailure(`sasl_server_new: ${this.#functions.errorString(code)}`)
    const connection = this.#pointer()
    try {
      this.#setStrength(connection, secure, minSsf, externalSsf)
    } catch (error) {
      this.dispose(connection)
      throw error
    }
    return connection
  }

  /** What the connection may be offered, in the order of the configuration; perhaps nothing. Throws SaslFailure. */
  mechanisms(connection: SaslConnection): string[] {
    const { listMechanisms } = this.#functions
    const code = listMechanisms(connection, null, '', ',', '', this.#outAt, this.#lengthAt, 0)
    if (code === SASL_NOMECH) return []
    if (code !== SASL_OK) throw new SaslFailure(`cannot list SASL mechanisms: ${this.errorDetail(connection)}`)
    const names = this.#take()?.toString('latin1') ?? ''
    return names === '' ? [] : names.split(',')
  }

  start(connection: SaslConnection, mechanism: string, data: Uint8Array | undefined): SaslOutput {
    const { serverStart } = this.#functions
    this.#out.bytes.fill(0)
    const code = serverStart(connection, mechanism, pointerTo(data), data?.length ?? 0, this.#outAt, this.#lengthAt)
    return { code, data: code < 0 ? undefined : this.#take() }
  }

  step(connection: SaslConnection, data: Uint8Array | undefined): SaslOutput {
    const { serverStep } = this.#functions
    this.#out.bytes.fill(0)
    const code = serverStep(connection, pointerTo(data), data?.length ?? 0, this.#outAt, this.#lengthAt)
    return { code, data: code < 0 ? undefined : this.#take() }
  }

  /** Who it is. Only after success; throws SaslFailure. */
  userName(connection: SaslConnection): string {
    const at = this.#property(connection, PROPERTY.userName)
    if (at === 0) throw new SaslFailure('no user name')
    return koffi.decode(BigInt(at), 'char', -1) as string
  }

  /** Strength of the negotiated layer; 0 is none. */
  strength(connection: SaslConnection): number {
    return this.#number(connection, PROPERTY.ssf)
  }

  /** Bytes that `encode` takes at most. */
  maxOutput(connection: SaslConnection): number {
    return this.#number(connection, PROPERTY.maxOut)
  }

  /** For the log only. */
  errorDetail(connection: SaslConnection): string {
    return this.#functions.errorDetail(connection)
  }

  /** The connection must not be used any more, not even by another thread. */
  dispose(connection: SaslConnection): void {
    this.#out.bytes.writeBigUInt64LE(BigInt(connection), 0)
    this.#functions.dispose(this.#outAt)
  }

  /** Wraps bytes. The result is valid until the next call in this thread. Throws SaslFailure. */
  encode(connection: SaslConnection, bytes: Uint8Array): Buffer {
    const code = this.#functions.encode(connection, bytes, bytes.length, this.#outAt, this.#lengthAt)
    if (code !== SASL_OK) throw new SaslFailure(`sasl_encode: ${this.errorDetail(connection)}`)
    return this.#view()
  }

  /**
   * Unwraps bytes, at most 65536. A block that is not complete is kept by the library, so the result may be empty. It
   * is valid until the next call in this thread. Throws SaslFailure.
   */
  decode(connection: SaslConnection, bytes: Uint8Array): Buffer {
    const code = this.#functions.decode(connection, bytes, bytes.length, this.#outAt, this.#lengthAt)
    if (code !== SASL_OK) throw new SaslFailure(`sasl_decode: ${this.errorDetail(connection)}`)
    return this.#view()
  }

  /** `sasl_security_properties_t` is four numbers and two pointers. */
  #setStrength(connection: SaslConnection, secure: boolean, minSsf: number, externalSsf: number): void {
    const { bytes, address } = this.#properties
    bytes.fill(0)
    if (externalSsf > 0) {
      bytes.writeUInt32LE(externalSsf, 0)
      this.#setProperty(connection, PROPERTY.externalSsf, address)
    }
    bytes.writeUInt32LE(secure ? 0 : minSsf, 0)
    bytes.writeUInt32LE(secure ? 0 : 100_000, 4)
    bytes.writeUInt32LE(65_536, 8)
    bytes.writeUInt32LE(secure ? 0 : NO_PLAINTEXT | NO_ANONYMOUS, 12)
    this.#setProperty(connection, PROPERTY.security, address)
  }

  #setProperty(connection: SaslConnection, property: number, at: number): void {
    if (this.#functions.setProperty(connection, property, at) === SASL_OK) return
    throw new SaslFailure(`sasl_setprop: ${this.errorDetail(connection)}`)
  }

  /** Address of the property's value. */
  #property(connection: SaslConnection, property: number): number {
    const code = this.#functions.getProperty(connection, property, this.#outAt)
    if (code !== SASL_OK) throw new SaslFailure(`sasl_getprop: ${this.errorDetail(connection)}`)
    return this.#pointer()
  }

  #number(connection: SaslConnection, property: number): number {
    const at = this.#property(connection, property)
    return at === 0 ? 0 : (koffi.decode(BigInt(at), 'uint32_t') as number)
  }

  #pointer(): number {
    return Number(this.#out.bytes.readBigUInt64LE(0))
  }

  /** The output belongs to the connection and goes with the next call on it, so it is copied; NULL is undefined. */
  #take(): Buffer | undefined {
    return this.#pointer() === 0 ? undefined : Buffer.from(this.#view())
  }

  #view(): Buffer {
    const length = this.#out.bytes.readUInt32LE(8)
    if (this.#output === undefined || this.#output.bytes.length < length) {
      this.#output = new Memory(Math.max(length, FIRST_OUTPUT_BYTES))
    }
    if (length > 0) this.#memcpy(this.#output.address, this.#pointer(), length)
    return this.#output.bytes.subarray(0, length)
  }
}

/** koffi takes an empty buffer for NULL; to SASL these two differ, and what stands behind length 0 is not looked at. */
const EMPTY = Buffer.alloc(1)
const pointerTo = (data: Uint8Array | undefined): Uint8Array | null =>
  data === undefined ? null : data.length === 0 ? EMPTY : data

function declare(library: ReturnType<typeof koffi.load>) {
  type Conn = SaslConnection
  type Text = string | null
  type Bytes = Uint8Array | null
  return {
    serverInit: library.func('int sasl_server_init(uintptr_t, str)') as (callbacks: number, name: string) => number,
    serverNew: library.func('int sasl_server_new(str, str, str, str, str, uintptr_t, uint32_t, uintptr_t)') as (
      service: string, host: Text, realm: Text, local: string, remote: string, callbacks: number, flags: number,
      connectionAt: number
    ) => number,
    listMechanisms: library.func(
      'int sasl_listmech(uintptr_t, str, str, str, str, uintptr_t, uintptr_t, uintptr_t)'
    ) as (
      connection: Conn, user: Text, prefix: string, separator: string, suffix: string, outAt: number, lengthAt: number,
      countAt: number
    ) => number,
    serverStart: library.func('int sasl_server_start(uintptr_t, str, void *, uint32_t, uintptr_t, uintptr_t)') as (
      connection: Conn, mechanism: string, data: Bytes, length: number, outAt: number, lengthAt: number
    ) => number,
    serverStep: library.func('int sasl_server_step(uintptr_t, void *, uint32_t, uintptr_t, uintptr_t)') as (
      connection: Conn, data: Bytes, length: number, outAt: number, lengthAt: number
    ) => number,
    setProperty: library.func('int sasl_setprop(uintptr_t, int, uintptr_t)') as (
      connection: Conn, property: number, at: number
    ) => number,
    getProperty: library.func('int sasl_getprop(uintptr_t, int, uintptr_t)') as (
      connection: Conn, property: number, outAt: number
    ) => number,
    encode: library.func('int sasl_encode(uintptr_t, void *, uint32_t, uintptr_t, uintptr_t)') as (
      connection: Conn, data: Uint8Array, length: number, outAt: number, lengthAt: number
    ) => number,
    decode: library.func('int sasl_decode(uintptr_t, void *, uint32_t, uintptr_t, uintptr_t)') as (
      connection: Conn, data: Uint8Array, length: number, outAt: number, lengthAt: number
    ) => number,
    errorDetail: library.func('str sasl_errdetail(uintptr_t)') as (connection: Conn) => string,
    errorString: ((): ((code: number) => string) => {
      const text = library.func('str sasl_errstring(int, uintptr_t, uintptr_t)') as (
        code: number, languages: number, languageAt: number
      ) => string
      return code => text(code, 0, 0)
    })(),
    dispose: library.func('void sasl_dispose(uintptr_t)') as (connectionAt: number) => void
  }
}
