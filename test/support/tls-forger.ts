import { createCipheriv, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect } from 'node:tls'
import type { Credentials } from './pki.js'

/** Types of records, as they stand within the encryption. */
export const RECORD = { changeCipherSpec: 20, alert: 21, handshake: 22, data: 23 } as const

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
const hmac = (key: Uint8Array, ...data: Uint8Array[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(data)).digest()

/** HKDF-Expand-Label of RFC 8446, with SHA-256 and without a context. */
function expandLabel(secret: Uint8Array, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`)
  return hmac(secret, u16(length), Buffer.from([name.length]), name, Buffer.from([0, 1])).subarray(0, length)
}

/** P_SHA256 of RFC 5246. */
function expand12(secret: Uint8Array, seed: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = []
  for (let a = hmac(secret, seed); blocks.length * 32 < length; a = hmac(secret, a)) blocks.push(hmac(secret, a, seed))
  return Buffer.concat(blocks).subarray(0, length)
}

/** A client's records under one cipher, AES-128-GCM. */
interface RecordWriter {
  record(type: number, content: Uint8Array): Buffer
}

function sealed(key: Uint8Array, nonce: Uint8Array, header: Uint8Array, clear: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-128-gcm', key, nonce).setAAD(header)
  return Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()])
}

class Writer13 implements RecordWriter {
  #key: Buffer
  #iv: Buffer
  #sequence = 0

  constructor(private secret: Buffer) {
    this.#key = expandLabel(secret, 'key', 16)
    this.#iv = expandLabel(secret, 'iv', 12)
  }

  record(type: number, content: Uint8Array): Buffer {
    const nonce = Buffer.from(this.#iv)
    u64(this.#sequence++).forEach((byte, index) => (nonce[4 + index]! ^= byte))
    const clear = Buffer.concat([content, Buffer.from([type])])
    const header = Buffer.concat([Buffer.from([RECORD.data, 3, 3]), u16(clear.length + 16)])
    return Buffer.concat([header, sealed(this.#key, nonce, header, clear)])
  }

  /** The message after which the next keys are used. `mutual`: the other side is to change its own, too. */
  keyUpdate(mutual: boolean): Buffer {
    const record = this.record(RECORD.handshake, Buffer.from([24, 0, 0, 1, mutual ? 1 : 0]))
    this.secret = expandLabel(this.secret, 'traffic upd', 32)
    this.#key = expandLabel(this.secret, 'key', 16)
    this.#iv = expandLabel(this.secret, 'iv', 12)
    this.#sequence = 0
    return record
  }
}

class Writer12 implements RecordWriter {
  readonly #key: Buffer
  readonly #iv: Buffer
  /** The first was the end of the handshake. */
  #sequence = 1

  constructor(master: Buffer, clientRandom: Buffer, serverRandom: Buffer) {
    const block = expand12(master, Buffer.concat([Buffer.from('key expansion'), serverRandom, clientRandom]), 40)
    this.#key = block.subarray(0, 16)
    this.#iv = block.subarray(32, 36)
  }

  record(type: number, content: Uint8Array): Buffer {
    const sequence = u64(this.#sequence++)
    const start = Buffer.from([type, 3, 3])
    const aad = Buffer.concat([sequence, start, u16(content.length)])
    const body = sealed(this.#key, Buffer.concat([this.#iv, sequence]), aad, content)
    return Buffer.concat([start, u16(8 + body.length), sequence, body])
  }
}

/** A TLS client that is in, and goes on with records of its own making, which no library would send. */
export class TlsForger<Writer extends RecordWriter = RecordWriter> {
  private constructor(
    readonly socket: Socket,
    readonly writer: Writer
  ) {}

  static async tls13(socket: Socket, credentials: Credentials): Promise<TlsForger<Writer13>> {
    const { secrets } = await comeIn(socket, credentials, 'TLSv1.3', 'TLS_AES_128_GCM_SHA256')
    return new TlsForger(socket, new Writer13(secrets.get('CLIENT_TRAFFIC_SECRET_0')![1]))
  }

  static async tls12(socket: Socket, credentials: Credentials): Promise<TlsForger> {
    const { secrets, seen } = await comeIn(socket, credentials, 'TLSv1.2', 'ECDHE-RSA-AES128-GCM-SHA256')
    const [clientRandom, master] = secrets.get('CLIENT_RANDOM')!
    // The ServerHello's, behind the headers of record and message, and the version.
    return new TlsForger(socket, new Writer12(master, clientRandom, seen.subarray(11, 43)))
  }
}

/** Goes through the handshake with the usual library, and looks on. */
async function comeIn(
  socket: Socket,
  { certificate, key }: Credentials,
  version: 'TLSv1.2' | 'TLSv1.3',
  ciphers: string
): Promise<{ secrets: Map<string, [random: Buffer, secret: Buffer]>; seen: Buffer }> {
  const seen: Buffer[] = []
  let isIn = false
  const between = new Duplex({
    read: () => undefined,
    // What comes from now on may make no sense to the library, but it is not to say so.
    write: (chunk, _, done) => void (isIn ? done() : socket.write(chunk as Buffer, () => done()))
  })
  socket.on('data', (bytes: Buffer) => {
    seen.push(bytes)
    between.push(bytes)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => between.destroy())
  const secrets = new Map<string, [Buffer, Buffer]>()
  const tls = connect({
    socket: between,
    cert: readFileSync(certificate),
    key: readFileSync(key),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ciphers
  })
  tls.on('error', () => undefined)
  tls.on('keylog', (line: Buffer) => {
    const [label = '', random = '', secret = ''] = line.toString().trim().split(' ')
    secrets.set(label, [Buffer.from(random, 'hex'), Buffer.from(secret, 'hex')])
  })
  await once(tls, 'readable')
  const byte = tls.read() as Buffer
  if (byte.length !== 1 || byte[0] !== 1) throw new Error('not let in')
  isIn = true
  return { secrets, seen: Buffer.concat(seen) }
}
