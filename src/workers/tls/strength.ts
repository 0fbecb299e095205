/** How strong the certificates of a chain must be at least. Plain data. */
export interface LeastStrength {
  rsaBits: number
  curveBits: number
  /** Half the length of a signature's digest. */
  digestBits: number
  /** Digests that are else never taken in the signature of a certificate. */
  sha1: boolean
  md5: boolean
  /** ECDSA over P-256 and P-384 alone (RFC 5759); of the higher level over P-384. */
  suiteB: 128 | 192 | undefined
}

/** What the strength of a certificate depends on. */
export interface CertificateStrength {
  /** `other`: of a kind that no table has; its bits are then bits of security. */
  key: 'rsa' | 'curve' | 'other'
  keyBits: number
  /** OpenSSL's name of the curve, where it has several for the kind of key. */
  curve: string | undefined
  /** What it was signed with; the digest is undefined where none is known. */
  signedBy: 'ecdsa' | 'other'
  digest: Digest | undefined
  version: number
}

export interface Digest {
  name: string
  /** Half of its length. */
  bits: number
}

const SUITE_B = ['prime256v1', 'secp384r1']

/**
 * What makes a chain too weak, in words, or undefined. The first certificate is the client's, the last is trusted: how
 * that one was signed does not matter. These are the rules of GnuTLS's verification profiles.
 */
export function weakness(chain: readonly CertificateStrength[], least: LeastStrength): string | undefined {
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1]
    const why = weakKey(certificate, least) ?? (issuer === undefined ? undefined : weakSignature(certificate, least))
    if (why !== undefined) return why
    // The trusted end counts as an issuer only, so where it is the client's own certificate there is none.
    const judged = least.suiteB !== undefined && (issuer !== undefined || index === 0)
    if (judged && !isSuiteB(certificate, issuer, least.suiteB)) return 'a certificate that is not of Suite B'
  }
  return undefined
}

function weakKey({ key, keyBits }: CertificateStrength, least: LeastStrength): string | undefined {
  const wanted = { rsa: least.rsaBits, curve: least.curveBits, other: least.digestBits }[key]
  const kind = { rsa: 'an RSA key', curve: 'a key on a curve', other: 'a key with a strength' }[key]
  return keyBits < wanted ? `${kind} of ${keyBits} bits, and ${wanted} are wanted` : undefined
}

const BROKEN = ['md2', 'md4', 'ripemd160']

function weakSignature({ digest }: CertificateStrength, least: LeastStrength): string | undefined {
  if (digest === undefined) return least.digestBits > 0 ? 'a signature of an unknown kind' : undefined
  const { name, bits } = digest
  const refused = BROKEN.includes(name) || (name === 'md5' && !least.md5) || (name === 'sha1' && !least.sha1)
  return refused || bits < least.digestBits ? `a signature by ${name}` : undefined
}

function isSuiteB(
  { version, signedBy, digest, curve = '' }: CertificateStrength,
  issuer: CertificateStrength | undefined,
  level: 128 | 192 | undefined
): boolean {
  return (
    (level === 192 ? curve === 'secp384r1' : SUITE_B.includes(curve)) &&
    version === 3 &&
    issuer?.version === 3 &&
    // The authority's curve may be the larger one, and then its digest is too.
    SUITE_B.indexOf(issuer.curve ?? '') >= SUITE_B.indexOf(curve) &&
    signedBy === 'ecdsa' &&
    (digest?.name === 'sha384' || (digest?.name === 'sha256' && issuer.curve !== 'secp384r1'))
  )
}
