/**
 * Signature schemes: OpenSSL's name by GnuTLS's. Before TLS 1.3 an ECDSA scheme names the digest alone, from 1.3 on the
 * curve too; GnuTLS has two names for the one number, OpenSSL has one.
 */
const SCHEMES: Readonly<Record<string, { openssl: string; before13?: false; from13?: false }>> = {
  'ML-DSA-44': { openssl: 'mldsa44', before13: false },
  'ML-DSA-65': { openssl: 'mldsa65', before13: false },
  'ML-DSA-87': { openssl: 'mldsa87', before13: false },
  'RSA-SHA256': { openssl: 'rsa_pkcs1_sha256' },
  'RSA-SHA384': { openssl: 'rsa_pkcs1_sha384' },
  'RSA-SHA512': { openssl: 'rsa_pkcs1_sha512' },
  'RSA-SHA1': { openssl: 'RSA+SHA1' },
  'RSA-PSS-SHA256': { openssl: 'rsa_pss_pss_sha256' },
  'RSA-PSS-SHA384': { openssl: 'rsa_pss_pss_sha384' },
  'RSA-PSS-SHA512': { openssl: 'rsa_pss_pss_sha512' },
  'RSA-PSS-RSAE-SHA256': { openssl: 'rsa_pss_rsae_sha256' },
  'RSA-PSS-RSAE-SHA384': { openssl: 'rsa_pss_rsae_sha384' },
  'RSA-PSS-RSAE-SHA512': { openssl: 'rsa_pss_rsae_sha512' },
  'EdDSA-Ed25519': { openssl: 'ed25519' },
  'EdDSA-Ed448': { openssl: 'ed448' },
  'ECDSA-SHA1': { openssl: 'ECDSA+SHA1' },
  'ECDSA-SHA256': { openssl: 'ecdsa_secp256r1_sha256', from13: false },
  'ECDSA-SHA384': { openssl: 'ecdsa_secp384r1_sha384', from13: false },
  'ECDSA-SHA512': { openssl: 'ecdsa_secp521r1_sha512', from13: false },
  'ECDSA-SECP256R1-SHA256': { openssl: 'ecdsa_secp256r1_sha256', before13: false },
  'ECDSA-SECP384R1-SHA384': { openssl: 'ecdsa_secp384r1_sha384', before13: false },
  'ECDSA-SECP521R1-SHA512': { openssl: 'ecdsa_secp521r1_sha512', before13: false },
  'DSA-SHA1': { openssl: 'DSA+SHA1', from13: false }
}

/** OpenSSL's name, or undefined for a signature that one of the versions does not use. */
export function schemeName(signature: string, versions: readonly string[]): string | undefined {
  const scheme = Object.hasOwn(SCHEMES, signature) ? SCHEMES[signature] : undefined
  if (scheme === undefined) return undefined
  const used =
    (scheme.from13 !== false && versions.includes('TLS1.3')) ||
    (scheme.before13 !== false && versions.some(version => version !== 'TLS1.3'))
  return used ? scheme.openssl : undefined
}

const GOST = /^GOSTR341012-/

/** Whether a signature is one that TLS has a number for in one of these versions. */
export const isTlsSignature = (signature: string, versions: readonly string[]): boolean =>
  schemeName(signature, versions) !== undefined || (GOST.test(signature) && versions.some(version => version !== 'TLS1.3'))
