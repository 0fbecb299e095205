import { randomBytes } from 'node:crypto'

const u8 = (value: number): Buffer => Buffer.from([value])
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
const u24 = (value: number): Buffer => Buffer.from([value >> 16, (value >> 8) & 0xff, value & 0xff])
const listOf8 = (bytes: Buffer): Buffer => Buffer.concat([u8(bytes.length), bytes])
const listOf16 = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes])
const extension = (type: number, content: Buffer): Buffer => Buffer.concat([u16(type), listOf16(content)])

const X25519 = 0x001d
const ECDHE_RSA_AES128_GCM = 0xc02f
const TLS_AES_128_GCM = 0x1301

export interface Hello {
  version?: 0x0303 | 0x0304
  /** Groups for the exchange of keys. */
  groups?: readonly number[]
  shares?: readonly (readonly [group: number, key: Buffer])[]
}

/** A ClientHello as a message, before it is put into records. */
export function clientHello({ version = 0x0304, groups = [X25519], shares = [[X25519, randomBytes(32)]] }: Hello = {}): Buffer {
  const signatures = Buffer.from('040308040401', 'hex')
  const extensions = [
    extension(10, listOf16(Buffer.concat(groups.map(u16)))),
    extension(13, listOf16(signatures)),
    ...(version === 0x0304 ? [
      extension(43, listOf8(u16(version))),
      extension(51, listOf16(Buffer.concat(shares.map(([group, key]) => Buffer.concat([u16(group), listOf16(key)])))))
    ] : [])
  ]
  const body = Buffer.concat([
    u16(0x0303),
    randomBytes(32),
    listOf8(randomBytes(32)),
    listOf16(Buffer.concat([TLS_AES_128_GCM, ECDHE_RSA_AES128_GCM].map(u16))),
    listOf8(u8(0)),
    listOf16(Buffer.concat(extensions))
  ])
  return Buffer.concat([u8(1), u24(body.length), body])
}

/** A message of the handshake in records of at most `size` bytes, not encrypted. */
export function inRecords(message: Buffer, size = 16_384): Buffer {
  const count = Math.ceil(message.length / size)
  const pieces = Array.from({ length: count }, (_, i) => message.subarray(i * size, (i + 1) * size))
  return Buffer.concat(pieces.flatMap(piece => [Buffer.from([22, 3, 3]), u16(piece.length), piece]))
}
