import { checkPrimeSync, createPublicKey, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Credentials } from './pki.js'

/** An element of DER: tag, length, and what is inside. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const digits = length.toString(16)
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length]), bytes, content])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts)

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
/** Object identifiers, encoded. */
const OID = {
  commonName: bytes('0603550403'),
  organization: bytes('060355040a'),
  ecdsaWithSha256: bytes('06082a8648ce3d040302'),
  rsaWithSha256: bytes('06092a864886f70d01010b0500'),
  basicConstraints: bytes('0603551d13'),
  subjectAltName: bytes('0603551d11'),
  nameConstraints: bytes('0603551d1e'),
  distributionPoints: bytes('0603551d1f'),
  primeField: bytes('06072a8648ce3d0101'),
  ellipticCurve: bytes('06072a8648ce3d0201')
} as const

export const TYPE = { utf8: 0x0c, printable: 0x13, ia5: 0x16, bmp: 0x1e } as const

/** One attribute of a name, in a set of its own. `oid`: encoded; its common name if left out. */
export const rdn = (value: string | Uint8Array, type: number = TYPE.utf8, oid: Uint8Array = OID.commonName): Buffer =>
  der(0x31, sequence(oid, der(type, typeof value === 'string' ? Buffer.from(value) : value)))

/** A Name with these attributes. */
export const name = (...rdns: readonly Uint8Array[]): Buffer => sequence(...rdns)

export const commonName = (text: string): Buffer => name(rdn(text))

/** An object identifier of so many bytes, all of them one number. */
export const longOid = (length: number): Buffer => {
  const content = Buffer.alloc(length, 0xff)
  content[0] = 0x2a
  content[length - 1] = 0x7f
  return der(0x06, content)
}

/** `oid`: encoded. */
export const extension = (oid: Uint8Array, value: Uint8Array, critical = false): Buffer =>
  sequence(oid, ...(critical ? [bytes('0101ff')] : []), der(0x04, value))

export const isAuthority = (): Buffer => extension(OID.basicConstraints, sequence(bytes('0101ff')), true)

const dnsName = (host: string): Buffer => der(0x82, Buffer.from(host))

export const alternativeNames = (hosts: readonly string[]): Buffer =>
  extension(OID.subjectAltName, sequence(...hosts.map(dnsName)))

export const nameConstraints = (hosts: readonly string[]): Buffer =>
  extension(OID.nameConstraints, sequence(der(0xa1, ...hosts.map(host => sequence(dnsName(host))))), true)

/** Points of distribution of revocation lists, named relative to the issuer. */
export const relativePoints = (count: number): Buffer => {
  const point = sequence(der(0xa0, der(0xa1, sequence(OID.commonName, der(TYPE.utf8, Buffer.from('x'))))))
  return extension(OID.distributionPoints, sequence(...Array<Buffer>(count).fill(point)))
}

const number = (value: bigint, length?: number): Buffer => {
  const digits = value.toString(16)
  return bytes(digits.padStart(length === undefined ? digits.length + (digits.length % 2) : 2 * length, '0'))
}
const integer = (value: bigint): Buffer => {
  const content = number(value)
  return der(0x02, content[0]! < 0x80 ? content : Buffer.concat([Buffer.from([0]), content]))
}

/**
 * A public key on a curve that is given by its equation, its points with one coordinate. The other takes a square root,
 * modulo a prime for which that takes as long as it can: its predecessor is a high power of two, times little.
 */
export function keyOnNamelessCurve(): Buffer {
  const length = 80
  let prime: bigint
  for (let factor = (1n << 39n) + 1n; !checkPrimeSync((prime = (factor << 600n) + 1n)); factor += 2n);
  const [x, y, a] = [3n, 5n, 7n] as const
  const b = (y * y - x * x * x - a * x + prime) % prime
  const point = Buffer.concat([Buffer.from([3]), number(x, length)])
  const curve = sequence(
    integer(1n),
    sequence(OID.primeField, integer(prime)),
    sequence(der(0x04, number(a, length)), der(0x04, number(b, length))),
    der(0x04, point),
    integer(prime - 4n),
    integer(1n)
  )
  return sequence(sequence(OID.ellipticCurve, curve), der(0x03, Buffer.from([0]), point))
}

/** An RSA key that nobody has the other half of. */
export function rsaKey(bits: number, exponent: Buffer): Buffer {
  const n = Buffer.alloc(bits / 8, 0xff).toString('base64url')
  const key = createPublicKey({ key: { kty: 'RSA', n, e: exponent.toString('base64url') }, format: 'jwk' })
  return key.export({ type: 'spki', format: 'der' })
}

export interface Crafting {
  subject?: Uint8Array
  /** DER of the issuer's name; the subject itself if left out. */
  issuer?: Uint8Array
  /** Who signs; its own key if left out. */
  signer?: KeyObject
  key?: KeyObject
  /** DER of the public key, where it is not the one that belongs to `key`. */
  publicKey?: Uint8Array
  extensions?: readonly Uint8Array[]
  serial?: number
  days?: readonly [from: number, to: number]
}

/** A key for those who do not care; made once. */
let usual: KeyObject | undefined
export const usualKey = (): KeyObject => (usual ??= generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

const algorithm = (key: KeyObject): Buffer =>
  sequence(key.asymmetricKeyType === 'rsa' ? OID.rsaWithSha256 : OID.ecdsaWithSha256)

function utcTime(daysFromNow: number): Buffer {
  const time = new Date(Date.now() + daysFromNow * 24 * 3600 * 1000)
  return der(0x17, Buffer.from(`${time.toISOString().slice(2, 19).replace(/[-T:]/g, '')}Z`))
}

/** DER of a certificate that no tool would make. */
export function craft(crafting: Crafting = {}): Buffer {
  const { subject = commonName('crafted'), key = usualKey(), extensions = [], serial = 1, days = [-1, 30] } = crafting
  const { issuer = subject, signer = key } = crafting
  const body = sequence(
    bytes('a003020102'),
    der(0x02, bytes((0x40000000 + serial).toString(16))),
    algorithm(signer),
    issuer,
    sequence(utcTime(days[0]), utcTime(days[1])),
    subject,
    crafting.publicKey ?? createPublicKey(key).export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))])
  )
  return sequence(body, algorithm(signer), der(0x03, Buffer.from([0]), sign('sha256', body, signer)))
}

const pem = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${bytes.toString('base64').match(/.{1,64}/g)!.join('\n')}\n-----END ${label}-----\n`

/** What a client needs to show this certificate, and those sent along, as files in `dir`. */
export function credentials(dir: string, certificates: readonly Buffer[], key: KeyObject = usualKey()): Credentials {
  const base = join(dir, `crafted-${randomUUID()}`)
  writeFileSync(base, certificates.map(certificate => pem('CERTIFICATE', certificate)).join(''))
  writeFileSync(`${base}.key`, key.export({ type: 'pkcs8', format: 'pem' }))
  return { certificate: base, key: `${base}.key` }
}
