import { child, children, DerError, readDer, TAG, type DerElement } from './der.js'

/** As many as GnuTLS verifies. */
export const MAX_CERTIFICATES = 16
/** Real ones have a tenth of these at most. */
const MAX_BYTES = 64 * 1024
const MAX_NAME_BYTES = 4 * 1024
const MAX_RSA_BITS = 8192
/** OpenSSL's own limit, which it has for moduli of more than 3072 bits only. */
const MAX_EXPONENT_BITS = 64

/** Of each message of a handshake: its type and length. */
export const MESSAGE_HEADER_BYTES = 4
const TLS_1_3 = 0x0304

/** DER of object identifiers. */
const RSA = ['06092a864886f70d010101', '06092a864886f70d01010a']
const ELLIPTIC_CURVE = '06072a8648ce3d0201'
const EDWARDS_CURVE = ['06032b6570', '06032b6571']
const DISTRIBUTION_POINTS = '0603551d1f'

/**
 * Looks over a Certificate message of TLS before OpenSSL does, and returns what is wrong with it. All of it is decoded
 * before anybody asks whose certificate that is, and what a stranger can ask for there may take seconds:
 *
 * - a curve given by its equation: a point on it with one coordinate takes a root modulo whatever number stands there;
 * - points of distribution of revocation lists named relative to the issuer: each takes a copy of the issuer's name;
 * - any of these as often as there is room for.
 *
 * So whatever a certificate is good for, it must be one that is quickly dealt with. To find out takes microseconds.
 */
export function screen(message: Buffer, version: number): string | undefined {
  try {
    const certificates = listed(message, version)
    if (certificates.length > MAX_CERTIFICATES) return `more than ${MAX_CERTIFICATES} certificates`
    return certificates.map(objection).find(found => found !== undefined)
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    return `certificate cannot be read: ${error.message}`
  }
}

/** The certificates of the message, up to one more than may be. */
function listed(message: Buffer, version: number): Buffer[] {
  const isNew = version === TLS_1_3
  // A context, which is only used for asking later on, stands before the list.
  let at = MESSAGE_HEADER_BYTES + (isNew ? 1 + (message[MESSAGE_HEADER_BYTES] ?? 0) : 0) + 3
  const found: Buffer[] = []
  while (at < message.length && found.length <= MAX_CERTIFICATES) {
    const certificate = sized(message, at, 3)
    found.push(certificate)
    at += 3 + certificate.length
    if (isNew) at += 2 + sized(message, at, 2).length
  }
  return found
}

/** What follows its own length, which has so many bytes. */
function sized(bytes: Buffer, at: number, width: number): Buffer {
  const start = at + width
  if (start > bytes.length) throw new DerError('cut off')
  const end = start + bytes.readUIntBE(at, width)
  if (end > bytes.length) throw new DerError('cut off')
  return bytes.subarray(start, end)
}

function objection(certificate: Buffer): string | undefined {
  if (certificate.length > MAX_BYTES) return `a certificate of ${certificate.length} bytes`
  const fields = children(child(children(readDer(certificate), 1), 0), 10)
  // The version is left out for v1.
  if (fields[0]?.tag === TAG.context(0)) fields.shift()
  const names = [child(fields, 2), child(fields, 4)]
  if (names.some(({ raw }) => raw.length > MAX_NAME_BYTES)) return `a name of more than ${MAX_NAME_BYTES} bytes`
  return keyObjection(child(fields, 5)) ?? extensionObjection(fields.find(field => field.tag === TAG.context(3)))
}

function keyObjection(key: DerElement): string | undefined {
  const parts = children(key, 2)
  const algorithm = children(child(parts, 0), 2)
  const kind = hex(child(algorithm, 0))
  if (EDWARDS_CURVE.includes(kind)) return undefined
  if (kind === ELLIPTIC_CURVE) return algorithm[1]?.tag === TAG.oid ? undefined : 'a key on a curve without a name'
  if (!RSA.includes(kind)) return 'a key of an unknown kind'
  // The first byte counts unused bits, of which there are none.
  const numbers = children(readDer(child(parts, 1, TAG.bitString).content, 1), 2)
  const [modulus, exponent] = [bitLength(child(numbers, 0)), bitLength(child(numbers, 1))]
  if (modulus > MAX_RSA_BITS) return `an RSA key of ${modulus} bits`
  return exponent > MAX_EXPONENT_BITS ? `an RSA key with an exponent of ${exponent} bits` : undefined
}

function extensionObjection(extensions: DerElement | undefined): string | undefined {
  if (extensions === undefined) return undefined
  for (const extension of children(readDer(extensions.content))) {
    const parts = children(extension, 3)
    if (hex(child(parts, 0)) !== DISTRIBUTION_POINTS) continue
    const points = children(readDer(child(parts, parts.length - 1, TAG.octetString).content))
    if (points.some(isRelative)) return 'a relative name of a point of distribution'
  }
  return undefined
}

function isRelative(point: DerElement): boolean {
  const name = children(point, 1)[0]
  return name?.tag === TAG.context(0) && children(name, 1)[0]?.tag === TAG.context(1)
}

const hex = ({ raw }: DerElement): string => raw.toString('hex', 0, 16)

/** At most: leading zeros count but for the one that keeps a number positive. */
const bitLength = ({ content }: DerElement): number => 8 * (content.length - (content[0] === 0 ? 1 : 0))
