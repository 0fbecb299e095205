import type { Random } from './random.js'

const KEYWORDS = 'NORMAL SECURE128 SECURE192 SECURE256 SECURE PFS LEGACY PERFORMANCE SUITEB128 SUITEB192 normal Secure256'
const NAMES = `
  VERS-TLS1.0 VERS-TLS1.1 VERS-TLS1.2 VERS-TLS1.3 VERS-ALL VERS-TLS-ALL VERS-DTLS-ALL VERS-DTLS1.2 VERS-SSL3.0
  AES-128-GCM AES-256-GCM aes-256-gcm CHACHA20-POLY1305 AES-128-CBC AES-256-CBC AES-128-CCM AES-256-CCM AES-128-CCM-8
  AES-256-CCM-8 CAMELLIA-128-CBC CAMELLIA-256-CBC CAMELLIA-256-GCM 3DES-CBC ARCFOUR-128 NULL
  SHA1 SHA256 SHA384 AEAD MD5 RSA ECDHE-RSA ECDHE-ECDSA DHE-RSA DHE-DSS PSK DHE-PSK SRP RSA-PSK ANON-DH ANON-ECDH
  GROUP-ALL GROUP-EC-ALL GROUP-DH-ALL GROUP-SECP256R1 GROUP-SECP384R1 GROUP-SECP521R1 GROUP-X25519 GROUP-X448
  GROUP-FFDHE2048 GROUP-FFDHE3072 GROUP-FFDHE8192 GROUP-SECP224R1 CURVE-ALL CURVE-SECP256R1 CURVE-X25519 CURVE-SECP384R1
  SIGN-ALL SIGN-RSA-SHA1 SIGN-RSA-SHA256 SIGN-RSA-SHA384 SIGN-RSA-SHA512 SIGN-RSA-PSS-SHA256 SIGN-RSA-PSS-RSAE-SHA256
  SIGN-RSA-PSS-RSAE-SHA384 SIGN-ECDSA-SHA1 SIGN-ECDSA-SHA256 SIGN-ECDSA-SHA384 SIGN-ECDSA-SECP256R1-SHA256
  SIGN-ECDSA-SECP384R1-SHA384 SIGN-EdDSA-Ed25519 sign-eddsa-ed448 SIGN-DSA-SHA1 SIGN-DSA-SHA256 SIGN-RSA-MD5
  CIPHER-ALL MAC-ALL KX-ALL COMP-NULL COMP-ALL CTYPE-X509 CTYPE-ALL CTYPE-OPENPGP SIGN-GOST-ALL GOST MAC-FOO
  SECURE128 NORMAL SUITEB192 LEGACY`
const MISTAKES = 'FOO SIGN-FOO GROUP-FOO VERS-FOO AES'
const OPTIONS = `
  COMPAT NO_TICKETS SERVER_PRECEDENCE NO_ETM FORCE_ETM NO_EXTENSIONS NO_SESSION_HASH SAFE_RENEGOTIATION PROFILE_MEDIUM
  PROFILE_ULTRA PROFILE_SUITEB128 VERIFY_ALLOW_SIGN_WITH_SHA1 LATEST_RECORD_VERSION compat`

const words = (text: string): string[] => text.trim().split(/\s+/)
const [keywords, names, mistakes, options] = [KEYWORDS, NAMES, MISTAKES, OPTIONS].map(words) as [string[], string[], string[], string[]]
const ENOUGH = words('+VERS-TLS1.2 +AES-128-GCM +ECDHE-RSA +AEAD +SIGN-ALL +GROUP-ALL')

/** A priority string of GnuTLS's of all kinds, a few of them with a mistake. */
export function priorityString(random: Random): string {
  const fromNothing = random.chance(0.2)
  const items = [fromNothing ? 'NONE' : random.pick(keywords)]
  if (fromNothing && random.chance(0.7)) items.push(...ENOUGH)
  for (let i = random.integer(0, 6); i > 0; i--) items.push(item(random, fromNothing))
  if (random.chance(0.05)) items.reverse()
  return items.join(random.chance(0.1) ? ': ' : ':')
}

function item(random: Random, adds: boolean): string {
  const kind = random.fraction()
  if (kind < 0.08) return `%${random.pick(options)}`
  if (kind < 0.14) return random.pick(keywords)
  const sign = random.pick(adds ? ['+', '+', '+', '-', '!'] : ['-', '-', '+', '!'])
  return sign + random.pick(kind < 0.16 ? mistakes : names)
}
