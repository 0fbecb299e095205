import { EAGAIN, EINTR, EIO, errno, Memory, MSG_DONTWAIT, recv } from '../os/libc.js'
import { BIO_RESET, CTRL, firstError, openssl, SSL_ERROR, VERSION } from '../os/openssl.js'
import { DerError } from './der.js'
import { HandshakeGuard } from './handshake-guard.js'
import { VERIFY, type Presented } from './presented.js'
import { readStrength } from './read-strength.js'
import { RecordBounds } from './record-bounds.js'
import type { SecureContext } from './secure-context.js'
import { weakness, type LeastStrength } from './strength.js'

/** What an operation gives instead of a count of bytes. */
export const RESULT = {
  /** The other end has finished. */
  ended: 0,
  wantRead: -1,
  wantWrite: -2,
  /** See `failure`. */
  failed: -3
} as const

/** Read from a socket at once. Records can be so short that 1,400 of them are in it. */
const READ_BYTES = 32 * 1024
/** The most that this can give: a record may have been there but for its last byte. */
export const ROOM_BYTES = READ_BYTES + 16 * 1024
/**
 * Records of an open connection in which there was nothing to be delivered, in a second: updates of keys, alerts, empty
 * ones. Each costs as much as many calls, and its sender nothing. GnuTLS takes as many updates of keys.
 */
const BARREN_RECORDS = 8
const BARREN_MS = 1000

/** What comes in on the connections of a thread goes through here: OpenSSL finds it in the BIO, and leaves nothing there. */
interface Intake {
  readonly memory: Memory
  readonly bio: number
}

let intake: Intake | undefined

/** What is held while there is nothing but that OpenSSL has to write. */
const NOTHING = Buffer.alloc(0)

const makeIntake = (): Intake => ({ memory: new Memory(READ_BYTES), bio: openssl().BIO_new(openssl().BIO_s_mem()) })

/** What a connection is protected by, in OpenSSL's names. */
export interface Protection {
  readonly version: string
  readonly cipher: string
}

/**
 * One `SSL` over a non-blocking socket: the server's side of a TLS connection. It does not own the descriptor. After
 * `free` nothing else may be called.
 *
 * OpenSSL writes to the socket, but what comes it is given, one record a call. By itself it would read on and on, for as
 * long as there are records that hold no data, and each could cost it more than its sender.
 */
export class SecureChannel implements Presented {
  readonly #openssl = openssl()
  readonly #intake = (intake ??= makeIntake())
  readonly #ssl: number
  readonly #context: SecureContext
  readonly #fd: number
  readonly #bounds = new RecordBounds()
  /** Until the handshake is through. */
  #guard: HandshakeGuard | undefined
  /** OpenSSL has to write before it takes what comes: that was read already, and waits here. */
  #held: Buffer | undefined
  #barren = 0
  #barrenSince = 0
  /** Why the last operation failed: an errno, and, with EIO, what the peer did against the rules if it was that. */
  failure: { errno: number; fault: string | undefined } | undefined
  /** How the last `receive` ended: `wantRead`, or what stands in the way of more. */
  outcome: number = RESULT.wantRead

  constructor(context: SecureContext, fd: number) {
    const ssl = this.#openssl
    this.#context = context
    this.#fd = fd
    this.#ssl = ssl.SSL_new(context.pointer)
    if (this.#ssl === 0) throw new Error(firstError() ?? 'SSL_new')
    if (ssl.SSL_set_wfd(this.#ssl, fd) !== 1) {
      this.free()
      throw new Error(firstError() ?? 'SSL_set_wfd')
    }
    ssl.BIO_up_ref(this.#intake.bio)
    ssl.SSL_set0_rbio(this.#ssl, this.#intake.bio)
    this.#guard = new HandshakeGuard(this.#ssl)
  }

  /** Goes on with the handshake, by one record at most. 1 when it is through. */
  accept(): number {
    const guard = this.#guard!
    // Nothing is read while OpenSSL has to write: it would not take it.
    if (this.#held === undefined) {
      const count = this.#readRecord()
      if (count <= 0) return this.#unread(count)
      if (!guard.admits(count, this.#bounds.between)) return this.#object(guard.objection!)
      this.#feed(this.#intake.memory.address, count)
    }
    this.#openssl.ERR_clear_error()
    const result = this.#result(guard.watch(this.#openssl.SSL_accept))
    if (guard.objection !== undefined) {
      // A socket that is closed with something unread in it resets the connection.
      recv(this.#fd, this.#intake.memory.address, READ_BYTES, MSG_DONTWAIT)
      return this.#object(guard.objection)
    }
    this.#held = result === RESULT.wantWrite ? NOTHING : undefined
    if (result <= 0) return result
    guard.over()
    this.#guard = undefined
    if (!this.#context.needsSessionHash || this.#hasSessionHash()) return result
    return this.#object('no extended master secret')
  }

  #hasSessionHash(): boolean {
    const ssl = this.#openssl
    return ssl.SSL_version(this.#ssl) > VERSION['TLSv1.2'] || ssl.SSL_ctrl(this.#ssl, CTRL.hasSessionHash, 0, 0) === 1
  }

  /**
   * Reads what is there, up to a limit, and decrypts it to an address with room for `ROOM_BYTES`. Returns how many bytes
   * that gave, and leaves in `outcome` whether that was all.
   */
  receive(address: number): number {
    const { memory } = this.#intake
    const held = this.#held
    if (held === undefined) {
      const count = recv(this.#fd, memory.address, READ_BYTES, MSG_DONTWAIT)
      if (count > 0) return this.#decrypt(count, address)
      this.outcome = this.#unread(count)
      return 0
    }
    this.outcome = this.#read(address, ROOM_BYTES)
    if (this.outcome !== RESULT.wantRead) return 0
    this.#held = undefined
    memory.bytes.set(held)
    return this.#decrypt(held.length, address)
  }

  /**
   * Writes as many whole records as the kernel takes. After `wantWrite` a record is half out: the next call must be for
   * the same bytes, though they may have moved.
   */
  write(address: number, length: number): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.SSL_write(this.#ssl, address, length))
  }

  /** As `write`. */
  writeBytes(bytes: Uint8Array): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.writeBytes(this.#ssl, bytes, bytes.length))
  }

  /** Says goodbye (close_notify), if that can be said at once. */
  shutdown(): void {
    this.#openssl.ERR_clear_error()
    this.#openssl.SSL_shutdown(this.#ssl)
  }

  free(): void {
    this.#openssl.SSL_free(this.#ssl)
  }

  /**
   * What OpenSSL found out about the client's chain: the number of its last complaint, and its words for it; undefined if
   * the client sent no certificate. A chain that is not as strong as `least` is a complaint too.
   */
  verification(least: LeastStrength): { code: number; text: string } | undefined {
    const ssl = this.#openssl
    if (this.#leaf() === 0) return undefined
    const code = ssl.SSL_get_verify_result(this.#ssl)
    if (code !== VERIFY.ok) return { code, text: ssl.X509_verify_cert_error_string(code) }
    const weak = weakness(this.#elements(ssl.SSL_get0_verified_chain(this.#ssl)).map(readStrength), least)
    return weak === undefined ? { code, text: 'ok' } : { code: VERIFY.weak, text: weak }
  }

  subject(): Buffer {
    return this.#encoded(this.#openssl.i2d_X509_NAME, this.#openssl.X509_get_subject_name(this.#leaf()))
  }

  certificates(): Buffer[] {
    const ssl = this.#openssl
    return [this.#leaf(), ...this.#elements(ssl.SSL_get_peer_cert_chain(this.#ssl))].map(x509 => this.#encoded(ssl.i2d_X509, x509))
  }

  /** Strength of the cipher, in bits. */
  get cipherBits(): number {
    return this.#openssl.SSL_CIPHER_get_bits(this.#openssl.SSL_get_current_cipher(this.#ssl), 0)
  }

  /** `TLSv1.3`, `TLS_AES_256_GCM_SHA384` and their like. */
  get protection(): Protection {
    const ssl = this.#openssl
    return { version: ssl.SSL_get_version(this.#ssl), cipher: ssl.SSL_CIPHER_get_name(ssl.SSL_get_current_cipher(this.#ssl)) }
  }

  /** The client's own certificate, or 0. It is the channel's. */
  #leaf(): number {
    return this.#openssl.SSL_get0_peer_certificate(this.#ssl)
  }

  /** Of a STACK_OF, which may be absent. */
  #elements(stack: number): number[] {
    const ssl = this.#openssl
    const count = stack === 0 ? 0 : ssl.OPENSSL_sk_num(stack)
    return Array.from({ length: count }, (_, index) => ssl.OPENSSL_sk_value(stack, index))
  }

  /** The DER of what the client's certificate has, which was screened, so that there is room for it. */
  #encoded(encode: (value: number, at: number) => number, value: number): Buffer {
    const { encoding, pointer } = this.#openssl
    const length = encode(value, 0)
    if (length <= 0 || length > encoding.bytes.length) throw new DerError(`${length} bytes`)
    pointer.bytes.writeBigUInt64LE(BigInt(encoding.address))
    encode(value, pointer.address)
    return Buffer.from(encoding.bytes.subarray(0, length))
  }

  /** The rest of one record, as far as it has come. */
  #readRecord(): number {
    const { bytes, address } = this.#intake.memory
    const bounds = this.#bounds
    let filled = 0
    do {
      const count = recv(this.#fd, address + filled, Math.min(bounds.wanted, READ_BYTES - filled), MSG_DONTWAIT)
      if (count <= 0) return filled > 0 ? filled : count
      bounds.next(bytes, filled, filled + count)
      filled += count
    } while (!bounds.between && filled < READ_BYTES)
    return filled
  }

  /** `count` bytes of the intake, record by record. */
  #decrypt(count: number, address: number): number {
    const { bytes, address: source } = this.#intake.memory
    const bounds = this.#bounds
    let filled = 0
    for (let at = 0; at < count;) {
      const end = bounds.next(bytes, at, count)
      this.#feed(source + at, end - at)
      at = end
      const result = this.#read(address + filled, ROOM_BYTES - filled)
      if (result > 0) {
        filled += result
        continue
      }
      const barren = bounds.between && (result === RESULT.wantRead || result === RESULT.wantWrite)
      this.outcome = barren && !this.#mayBeBarren() ? this.#object('too many records without data') : result
      if (this.outcome === RESULT.wantRead) continue
      if (this.outcome === RESULT.wantWrite) this.#held = Buffer.from(bytes.subarray(at, count))
      return filled
    }
    this.outcome = RESULT.wantRead
    return filled
  }

  #read(address: number, room: number): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.SSL_read(this.#ssl, address, room))
  }

  #feed(address: number, length: number): void {
    this.#openssl.BIO_write(this.#intake.bio, address, length)
  }

  #mayBeBarren(): boolean {
    const now = performance.now()
    if (now - this.#barrenSince > BARREN_MS) {
      this.#barrenSince = now
      this.#barren = 0
    }
    return ++this.#barren <= BARREN_RECORDS
  }

  #result(result: number): number {
    if (result > 0) return result
    const error = this.#openssl.SSL_get_error(this.#ssl, result)
    if (error === SSL_ERROR.wantRead) return RESULT.wantRead
    if (error === SSL_ERROR.wantWrite) return RESULT.wantWrite
    // What it has not taken is not for the next connection.
    this.#openssl.BIO_ctrl(this.#intake.bio, BIO_RESET, 0, 0)
    if (error === SSL_ERROR.zeroReturn) return RESULT.ended
    if (error !== SSL_ERROR.syscall) return this.#object(firstError() ?? 'protocol error')
    // A system call that "failed" without an error is an end of the connection.
    return errno() === 0 ? RESULT.ended : this.#fail(errno())
  }

  /** A `recv` has brought nothing. */
  #unread(count: number): number {
    if (count === 0) return RESULT.ended
    const code = errno()
    return code === EAGAIN || code === EINTR ? RESULT.wantRead : this.#fail(code)
  }

  #object(fault: string): number {
    return this.#fail(EIO, fault)
  }

  #fail(code: number, fault?: string): number {
    this.failure = { errno: code, fault }
    return RESULT.failed
  }
}
