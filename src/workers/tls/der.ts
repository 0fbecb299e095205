/** The little of DER (X.690) that certificates and revocation lists are read with. */

export class DerError extends Error {
  override name = 'DerError'
}

export interface DerElement {
  readonly tag: number
  /** Tag and length included. */
  readonly raw: Buffer
  readonly content: Buffer
}

/** Tags of the universal types, and of the context ones by number. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
  context: (number: number): number => 0xa0 + number
} as const

/** The element at `at` in `bytes`; what follows it is left alone. Throws DerError. */
export function readDer(bytes: Buffer, at = 0): DerElement {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) throw new DerError('cut off')
  // Neither certificates nor revocation lists use tags of more than one byte.
  if ((tag & 0x1f) === 0x1f) throw new DerError('unexpected tag')
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const start = at + 2 + lengthBytes
  if (first === 0x80 || lengthBytes > 4 || bytes.length < start) throw new DerError('bad length')
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes)
  if (length > bytes.length - start) throw new DerError('cut off')
  return { tag, raw: bytes.subarray(at, start + length), content: bytes.subarray(start, start + length) }
}

/** The elements inside a constructed one, the first `most` of them. Throws DerError. */
export function children({ content }: DerElement, most = Infinity): DerElement[] {
  const found: DerElement[] = []
  for (let at = 0; at < content.length && found.length < most;) {
    const element = readDer(content, at)
    found.push(element)
    at += element.raw.length
  }
  return found
}

/** The child at `index`, which must be there, and have this tag if one is given. Throws DerError. */
export function child(elements: readonly DerElement[], index: number, tag?: number): DerElement {
  const element = elements[index]
  if (element === undefined) throw new DerError('element missing')
  if (tag !== undefined && element.tag !== tag) throw new DerError('unexpected tag')
  return element
}

/** Longer than any in use. The time to write one out in dots grows with the square of its length. */
const MAX_OID_BYTES = 128

/** An object identifier in dots. Throws DerError. */
export function oidText({ content }: DerElement): string {
  if (content.length > MAX_OID_BYTES) throw new DerError(`an object identifier of ${content.length} bytes`)
  const parts: bigint[] = []
  let value = 0n
  for (const byte of content) {
    value = (value << 7n) | BigInt(byte & 0x7f)
    if (byte & 0x80) continue
    // The first two arcs share a number.
    if (parts.length === 0) {
      const top = value < 80n ? value / 40n : 2n
      parts.push(top, value - 40n * top)
    } else parts.push(value)
    value = 0n
  }
  return parts.join('.')
}

/** Milliseconds since the epoch of a UTCTime or GeneralizedTime in the only forms that RFC 5280 allows. */
export function readTime({ tag, content }: DerElement): number {
  const text = content.toString('latin1')
  const digits = /^(\d{12}|\d{14})Z$/.exec(text)?.[1]
  if (digits === undefined || (tag === TAG.utcTime) !== (digits.length === 12)) throw new DerError('bad time')
  const full = tag === TAG.utcTime ? (Number(digits.slice(0, 2)) < 50 ? '20' : '19') + digits : digits
  const [, year, month, day, hour, minute, second] = /^(....)(..)(..)(..)(..)(..)$/.exec(full)!.map(Number)
  return Date.UTC(year!, month! - 1, day, hour, minute, second)
}

/** A serial number: hexadecimal without leading zeros, so that two spellings of one number are equal. */
export const serialText = ({ content }: DerElement): string => content.toString('hex').replace(/^(00)+(?=.)/, '')
