import type { Revoked } from './chain.js'

/** What OpenSSL is set up with, as plain data. */
export interface TlsContext {
  /** Our certificates, at most one for each kind of key that is used. */
  identities: TlsIdentity[]
  /** PEM of each certificate that clients' chains may end at. */
  authorities: string[]
  minVersion: TlsVersion
  maxVersion: TlsVersion
  /** OpenSSL's cipher list for TLS 1.2, and the suites of TLS 1.3. */
  ciphers: string
  suites: string
  /** Key exchange groups; undefined: OpenSSL's choice. */
  groups: string | undefined
  /** Whether our order of ciphers counts, and not the client's. */
  serverOrder: boolean
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

export interface TlsIdentity {
  /** PEM of the certificate and of those to be sent with it. */
  chain: string[]
  /** PEM, not encrypted. */
  key: string
}

/** Everything that a thread needs for TLS clients. Plain data; replaced as a whole when files are loaded anew. */
export interface TlsSettings {
  context: TlsContext
  /** False: clients are let in whatever their certificate is like, or without one. */
  verify: boolean
  /** Patterns for the clients' names; undefined lets every name in. */
  allowedNames: readonly string[] | undefined
  revoked: Revoked
}
