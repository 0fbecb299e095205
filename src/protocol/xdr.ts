/**
 * XDR (RFC 4506) as libvirt uses it: every item is a multiple of four bytes, integers are big-endian.
 * Hand-written because the broker decodes only a handful of bodies, and because libvirt has its own habits:
 * strings are bytes that need not be UTF-8, a `char` takes four bytes, extra bytes after a body are ignored.
 */

/** Longest string that libvirt encodes or decodes, in bytes (`REMOTE_STRING_MAX`). */
export const MAX_STRING_BYTES = 4_194_304

/** The body does not decode: too short, or an item over its limit. */
export class XdrError extends Error {
  override name = 'XdrError'
}

export class XdrReader {
  readonly #bytes: Buffer
  #at: number
  readonly #end: number

  /** Reads `bytes` from `start` up to, and not including, `end`. Nothing is copied until an item is taken. */
  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Reads what is left, without this one knowing. */
  again(): XdrReader {
    return new XdrReader(this.#bytes, this.#at, this.#end)
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#end - this.#at
  }

  #take(count: number): number {
    if (count > this.#end - this.#at) throw new XdrError(`${count} bytes wanted, ${this.#end - this.#at} left`)
    const at = this.#at
    this.#at += count
    return at
  }

  i32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  i64(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8))
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8))
  }

  f64(): number {
    return this.#bytes.readDoubleBE(this.#take(8))
  }

  /** Any marker but 0 counts as "present", as in libvirt's decoder. */
  bool(): boolean {
    return this.u32() !== 0
  }

  /** `count` raw bytes and their padding, copied. */
  fixed(count: number): Buffer {
    const at = this.#take(count + padding(count))
    return Buffer.from(this.#bytes.subarray(at, at + count))
  }

  /** Variable opaque data of at most `limit` bytes, copied. */
  opaque(limit: number): Buffer {
    return this.fixed(this.count(limit))
  }

  /** Cut at the first NUL, as the C side would see it. */
  string(limit = MAX_STRING_BYTES): string {
    const count = this.count(limit)
    const at = this.#take(count + padding(count))
    const nul = this.#bytes.subarray(at, at + count).indexOf(0)
    return this.#bytes.toString('utf8', at, at + (nul < 0 ? count : nul))
  }

  /** As `string`, and no more of it than its first bytes, or than is there: for those who only show it. */
  stringHead(most: number): string {
    const count = this.count(MAX_STRING_BYTES)
    const at = this.#take(Math.min(count + padding(count), this.left))
    const shown = Math.min(count, most, this.#at - at)
    const nul = this.#bytes.subarray(at, at + shown).indexOf(0)
    return `${this.#bytes.toString('utf8', at, at + (nul < 0 ? shown : nul))}${nul < 0 && shown < count ? '…' : ''}`
  }

  uuid(): Buffer {
    return this.fixed(16)
  }

  optional<T>(item: (xdr: XdrReader) => T): T | undefined {
    return this.bool() ? item(this) : undefined
  }

  array<T>(limit: number, item: (xdr: XdrReader) => T): T[] {
    const items: T[] = []
    for (let left = this.count(limit); left > 0; left--) items.push(item(this))
    return items
  }

  /** An array of XDR `char`: four bytes a byte, of which the last counts. */
  chars(limit: number): Buffer {
    const count = this.count(limit)
    const at = this.#take(4 * count)
    const out = Buffer.allocUnsafe(count)
    for (let i = 0; i < count; i++) out[i] = this.#bytes[at + 4 * i + 3]!
    return out
  }

  /** A count word, checked against its limit before anything is allocated for it. */
  count(limit: number): number {
    const count = this.u32()
    if (count > limit) throw new XdrError(`${count} items where at most ${limit} are allowed`)
    return count
  }
}

export class XdrWriter {
  #bytes: Buffer
  #at = 0

  /** `hint`: bytes to start with; the buffer doubles when it is too small. */
  constructor(hint = 256) {
    this.#bytes = Buffer.allocUnsafe(hint)
  }

  #grow(count: number): number {
    const at = this.#at
    const need = at + count
    if (need > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(need, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
    }
    this.#at = need
    return at
  }

  i32(value: number): this {
    const at = this.#grow(4)
    this.#bytes.writeInt32BE(value | 0, at)
    return this
  }

  u32(value: number): this {
    const at = this.#grow(4)
    this.#bytes.writeUInt32BE(value >>> 0, at)
    return this
  }

  i64(value: bigint): this {
    const at = this.#grow(8)
    this.#bytes.writeBigInt64BE(value, at)
    return this
  }

  u64(value: bigint): this {
    const at = this.#grow(8)
    this.#bytes.writeBigUInt64BE(value, at)
    return this
  }

  f64(value: number): this {
    const at = this.#grow(8)
    this.#bytes.writeDoubleBE(value, at)
    return this
  }

  bool(value: boolean): this {
    return this.u32(value ? 1 : 0)
  }

  fixed(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length + padding(bytes.length))
    this.#bytes.set(bytes, at)
    this.#bytes.fill(0, at + bytes.length, this.#at)
    return this
  }

  opaque(bytes: Uint8Array): this {
    return this.u32(bytes.length).fixed(bytes)
  }

  string(text: string): this {
    return this.opaque(Buffer.from(text, 'utf8'))
  }

  optional<T>(value: T | undefined, item: (xdr: this, value: T) => void): this {
    this.bool(value !== undefined)
    if (value !== undefined) item(this, value)
    return this
  }

  array<T>(items: readonly T[], item: (xdr: this, value: T) => void): this {
    this.u32(items.length)
    for (const value of items) item(this, value)
    return this
  }

  /** An array of XDR `char`: four bytes a byte, sign-extended as an x86 peer sends it. */
  chars(bytes: Uint8Array): this {
    this.u32(bytes.length)
    for (const byte of bytes) this.i32((byte << 24) >> 24)
    return this
  }

  /** The encoded bytes; the writer must not be used after this. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}

function padding(count: number): number {
  return -count & 3
}
