/**
 * D-Bus messages, as far as asking polkit needs them: method calls go out with a body written by hand, replies and
 * errors come in. Little-endian is sent, both orders are understood (D-Bus specification, "Message Protocol").
 */

export const TYPE = { methodCall: 1, methodReturn: 2, error: 3, signal: 4 } as const
const NO_REPLY_EXPECTED = 1

const VERSION = 1
const LITTLE = 0x6c
const BIG = 0x42
/** Byte order, type, flags, version, length of the body, serial, length of the fields. */
export const FIXED_BYTES = 16
/** As the specification says. */
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024

const FIELD = { path: 1, interface: 2, member: 3, errorName: 4, replySerial: 5, destination: 6, signature: 8 } as const

/** The other side does not speak D-Bus as it should. */
export class DbusError extends Error {}

/** Writes values one after the other, each at its natural alignment from the start. */
export class DbusWriter {
  #bytes = Buffer.alloc(256)
  #length = 0

  align(to: number): this {
    this.#reserve(to)
    this.#length = Math.ceil(this.#length / to) * to
    return this
  }

  byte(value: number): this {
    this.#reserve(1)
    this.#length = this.#bytes.writeUInt8(value, this.#length)
    return this
  }

  u32(value: number): this {
    this.align(4).#reserve(4)
    this.#length = this.#bytes.writeUInt32LE(value, this.#length)
    return this
  }

  i32(value: number): this {
    this.align(4).#reserve(4)
    this.#length = this.#bytes.writeInt32LE(value, this.#length)
    return this
  }

  u64(value: number): this {
    this.align(8).#reserve(8)
    this.#length = this.#bytes.writeBigUInt64LE(BigInt(value), this.#length)
    return this
  }

  string(text: string): this {
    return this.u32(Buffer.byteLength(text)).#text(text)
  }

  signature(text: string): this {
    return this.byte(Buffer.byteLength(text)).#text(text)
  }

  /** `write` writes the elements, which begin at multiples of `alignment`; the padding before them is not counted. */
  array(alignment: number, write: (writer: this) => void): this {
    this.u32(0)
    const lengthAt = this.#length - 4
    this.align(alignment)
    const start = this.#length
    write(this)
    this.#bytes.writeUInt32LE(this.#length - start, lengthAt)
    return this
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #text(text: string): this {
    const length = Buffer.byteLength(text)
    this.#reserve(length + 1)
    this.#bytes.write(text, this.#length)
    this.#bytes[this.#length + length] = 0
    this.#length += length + 1
    return this
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = Buffer.alloc(2 * (this.#length + count))
    this.#bytes.copy(larger)
    this.#bytes = larger
  }
}

/** Reads what `DbusWriter` writes, in either byte order. Throws DbusError where the bytes end too early. */
export class DbusReader {
  #at = 0

  constructor(
    readonly bytes: Buffer,
    readonly littleEndian: boolean
  ) {}

  align(to: number): this {
    this.#at = Math.ceil(this.#at / to) * to
    return this
  }

  byte(): number {
    return this.bytes[this.#take(1)]!
  }

  u32(): number {
    const at = this.align(4).#take(4)
    return this.littleEndian ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at)
  }

  boolean(): boolean {
    return this.u32() !== 0
  }

  string(): string {
    return this.#text(this.u32())
  }

  signature(): string {
    return this.#text(this.byte())
  }

  array<T>(alignment: number, read: (reader: this) => T): T[] {
    const length = this.u32()
    const end = this.align(alignment).#at + length
    if (end > this.bytes.length) throw new DbusError('array is longer than its message')
    const items: T[] = []
    while (this.#at < end) items.push(read(this.align(alignment)))
    return items
  }

  #text(length: number): string {
    const at = this.#take(length + 1)
    return this.bytes.toString('utf8', at, at + length)
  }

  #take(count: number): number {
    const at = this.#at
    if (count > this.bytes.length - at) throw new DbusError('message is shorter than its contents')
    this.#at += count
    return at
  }
}

export interface MethodCall {
  destination: string
  path: string
  interface: string
  member: string
  signature?: string
  body?: Buffer
  noReply?: boolean
}

export function encodeCall(call: MethodCall, serial: number): Buffer {
  const body = call.body ?? Buffer.alloc(0)
  const header = new DbusWriter()
    .byte(LITTLE)
    .byte(TYPE.methodCall)
    .byte(call.noReply === true ? NO_REPLY_EXPECTED : 0)
    .byte(VERSION)
    .u32(body.length)
    .u32(serial)
    .array(8, fields => {
      const field = (code: number, type: string): DbusWriter => fields.align(8).byte(code).signature(type)
      field(FIELD.path, 'o').string(call.path)
      field(FIELD.interface, 's').string(call.interface)
      field(FIELD.member, 's').string(call.member)
      field(FIELD.destination, 's').string(call.destination)
      if (call.signature !== undefined) field(FIELD.signature, 'g').signature(call.signature)
    })
    .align(8)
    .finish()
  return Buffer.concat([header, body])
}

export interface Incoming {
  type: number
  /** Serial of the call that this answers. */
  replySerial: number | undefined
  errorName: string | undefined
  signature: string
  body: DbusReader
}

/** Type and length of the message that begins with these bytes, its fixed part. Throws DbusError for what can be no message. */
export function announced(bytes: Buffer): { type: number; length: number } {
  const order = bytes[0]
  if (order !== LITTLE && order !== BIG) throw new DbusError(`byte order ${order}`)
  const u32 = (offset: number): number =>
    order === LITTLE ? bytes.readUInt32LE(offset) : bytes.readUInt32BE(offset)
  const length = FIXED_BYTES + Math.ceil(u32(12) / 8) * 8 + u32(4)
  if (length > MAX_MESSAGE_BYTES) throw new DbusError(`message of ${length} bytes`)
  return { type: bytes[1]!, length }
}

/** `bytes`: one whole message. Throws DbusError. */
export function decodeMessage(bytes: Buffer): Incoming {
  const littleEndian = bytes[0] === LITTLE
  const fields = new DbusReader(bytes, littleEndian)
  const [, type] = [fields.byte(), fields.byte(), fields.u32(), fields.u32()]
  const bodyBytes = littleEndian ? bytes.readUInt32LE(4) : bytes.readUInt32BE(4)
  const message: Incoming = {
    type,
    replySerial: undefined,
    errorName: undefined,
    signature: '',
    body: new DbusReader(bytes.subarray(bytes.length - bodyBytes), littleEndian)
  }
  fields.array(8, reader => readField(reader, message))
  return message
}

function readField(reader: DbusReader, message: Incoming): void {
  const code = reader.byte()
  const type = reader.signature()
  // All fields that the specification knows are of one of these types.
  const value = type === 'u' ? reader.u32() : type === 'g' ? reader.signature() : reader.string()
  if (code === FIELD.replySerial && typeof value === 'number') message.replySerial = value
  else if (code === FIELD.errorName) message.errorName = String(value)
  else if (code === FIELD.signature) message.signature = String(value)
}
