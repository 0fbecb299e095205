import { openssl } from '../os/openssl.js'
import { Memory } from '../os/libc.js'
import type { CertificateStrength, Digest } from './strength.js'

/** OpenSSL's numbers (NID) of kinds of keys. */
const KEY = { rsa: 6, rsaPss: 912, dsa: 116, curve: 408, ed25519: 1087, ed448: 1088 } as const

const digest = (name: string, bits: number): Digest => ({ name, bits })

/** By OpenSSL's number. */
const DIGESTS = new Map<number, Digest>([
  [3, digest('md2', 64)],
  [4, digest('md5', 64)],
  [257, digest('md4', 64)],
  [117, digest('ripemd160', 80)],
  [64, digest('sha1', 80)],
  [675, digest('sha224', 112)],
  [672, digest('sha256', 128)],
  [673, digest('sha384', 192)],
  [674, digest('sha512', 256)],
  [1096, digest('sha3-224', 112)],
  [1097, digest('sha3-256', 128)],
  [1098, digest('sha3-384', 192)],
  [1099, digest('sha3-512', 256)],
  // These signatures have their digest within them.
  [KEY.ed25519, digest('ed25519', 256)],
  [KEY.ed448, digest('ed448', 256)]
])

/** Three numbers; the name of a curve with its length. */
const room = new Memory(128)
const NAME_AT = 16
const NAME_ROOM = 64
const LENGTH_AT = 8

/** Reads what the strength of a certificate depends on, from OpenSSL's `X509`. */
export function readStrength(x509: number): CertificateStrength {
  const ssl = openssl()
  const at = room.address
  const known = ssl.X509_get_signature_info(x509, at, at + 4, at + 8, 0) === 1
  const [digestNumber, signer, bits] = known ? [0, 4, 8].map(offset => room.bytes.readInt32LE(offset)) : []
  const key = ssl.X509_get0_pubkey(x509)
  const base = key === 0 ? 0 : ssl.EVP_PKEY_get_base_id(key)
  return {
    ...keyStrength(key, base),
    curve: base === KEY.curve ? curveName(key) : undefined,
    signedBy: signer === KEY.curve ? 'ecdsa' : 'other',
    digest: DIGESTS.get(digestNumber ?? 0) ?? DIGESTS.get(signer ?? 0) ?? (bits ? { name: 'itself', bits } : undefined),
    version: ssl.X509_get_version(x509) + 1
  }
}

function keyStrength(key: number, base: number): Pick<CertificateStrength, 'key' | 'keyBits'> {
  const ssl = openssl()
  switch (base) {
    case 0:
      return { key: 'rsa', keyBits: 0 }
    case KEY.rsa:
    case KEY.rsaPss:
    case KEY.dsa:
      return { key: 'rsa', keyBits: ssl.EVP_PKEY_get_bits(key) }
    case KEY.curve:
      return { key: 'curve', keyBits: ssl.EVP_PKEY_get_bits(key) }
    // OpenSSL counts the bits of a number, GnuTLS those of the coordinate.
    case KEY.ed25519:
      return { key: 'curve', keyBits: 256 }
    case KEY.ed448:
      return { key: 'curve', keyBits: 456 }
    default:
      return { key: 'other', keyBits: ssl.EVP_PKEY_get_security_bits(key) }
  }
}

function curveName(key: number): string | undefined {
  const at = room.address
  if (openssl().EVP_PKEY_get_group_name(key, at + NAME_AT, NAME_ROOM, at + LENGTH_AT) !== 1) return undefined
  return room.bytes.toString('latin1', NAME_AT, NAME_AT + Number(room.bytes.readBigUInt64LE(LENGTH_AT)))
}
