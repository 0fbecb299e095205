import type { LeastStrength } from './strength.js'

/** X509_V_ERR_* codes that GnuTLS has other words for than "not trusted". */
export const VERIFY = {
  ok: 0,
  noIssuer: [2, 18, 19, 20, 21],
  insecure: [66, 67, 68],
  /** The one of them that is given for what OpenSSL was not asked to look at. */
  weak: 66
} as const

/** What TLS tells of the client when its handshake is through. `SecureChannel` is one. */
export interface Presented {
  /**
   * What OpenSSL found out about the client's certificate and its chain, which must be as strong as `least`; undefined if
   * none was sent.
   */
  verification(least: LeastStrength): { code: number; text: string } | undefined
  /** DER of the name in the client's own certificate. */
  subject(): Buffer
  /** DER of the client's own certificate, and then of those sent along. */
  certificates(): Buffer[]
}
