import { randomBytes } from 'node:crypto'

/** `6695eb01-f6a4-8304-79aa-97f2502e193f` from 16 bytes. */
export function formatUuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Accepts what `virUUIDParse` accepts: 32 hexadecimal digits with dashes and spaces anywhere between bytes. */
export function parseUuid(text: string): Buffer | undefined {
  const digits = text.replace(/^\s+|\s+$/g, '').replace(/-/g, '')
  return /^[0-9a-fA-F]{32}$/.test(digits) ? Buffer.from(digits, 'hex') : undefined
}

/** A random one in the form of RFC 4122, version 4. */
export function newUuid(): Buffer {
  const bytes = randomBytes(16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}
