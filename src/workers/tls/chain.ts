import { USAGE, type Certificate } from './certificate.js'

export const REASON = {
  untrusted: 'The certificate is not trusted.',
  noIssuer: "The certificate hasn't got a known issuer.",
  revoked: 'The certificate has been revoked.',
  insecure: 'The certificate uses an insecure algorithm'
} as const

/** Which serial numbers of an issuer are revoked; both as in `Certificate`. */
export interface Revoked {
  has(issuer: string, serial: string): boolean
}

export const isRevoked = ({ issuer, serial }: Certificate, revoked: Revoked): boolean =>
  revoked.has(issuer, serial)

const MAX_LENGTH = 8
const MIN_RSA_BITS = 1024

/** Signatures over MD2, MD4, MD5 and SHA-1. */
const WEAK_SIGNATURES: readonly string[] = [
  '1.2.840.113549.1.1.2', '1.2.840.113549.1.1.3', '1.2.840.113549.1.1.4', '1.2.840.113549.1.1.5',
  '1.2.840.10040.4.3', '1.2.840.10045.4.1', '1.3.14.3.2.29'
]

/** Critical extensions that are taken into account here or do not bear on the chain: usages, names, constraints. */
const UNDERSTOOD: readonly string[] = ['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37']

/**
 * Looks for a way from `leaf` over the certificates sent with it to one of `anchors`, each of which is trusted, whether
 * it is self-signed or not. Returns why there is none, in GnuTLS's words, or undefined. Purposes and revocation are
 * not looked at.
 */
export function chainFailure(
  leaf: Certificate,
  sent: readonly Certificate[],
  anchors: readonly Certificate[],
  now: number
): string | undefined {
  let current = leaf
  for (let depth = 0; depth < MAX_LENGTH; depth++) {
    if (current.notAfter < now || current.notBefore > now) return REASON.untrusted
    if (anchors.some(anchor => anchor.raw.equals(current.raw))) return undefined
    if (!isSound(current)) return REASON.insecure
    if (current.criticalExtensions.some(oid => !UNDERSTOOD.includes(oid))) return REASON.untrusted
    const signer = (candidate: Certificate): boolean => signed(current, candidate, depth)
    if (anchors.some(anchor => signer(anchor) && anchor.notBefore <= now && anchor.notAfter >= now)) return undefined
    const next = sent.find(candidate => candidate !== current && signer(candidate))
    if (next === undefined) return REASON.noIssuer
    current = next
  }
  return REASON.untrusted
}

function isSound({ x509, signatureAlgorithm }: Certificate): boolean {
  const { asymmetricKeyType, asymmetricKeyDetails } = x509.publicKey
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return false
  return !WEAK_SIGNATURES.includes(signatureAlgorithm)
}

/** `below`: how many authorities stand between `issuer` and the leaf. */
function signed(certificate: Certificate, issuer: Certificate, below: number): boolean {
  const { isAuthority, maxPathLength, keyUsage } = issuer
  if (isAuthority !== true || maxPathLength < below) return false
  if (keyUsage !== undefined && (keyUsage.bits & USAGE.keyCertSign) === 0) return false
  return certificate.x509.checkIssued(issuer.x509) && certificate.x509.verify(issuer.x509.publicKey)
}
