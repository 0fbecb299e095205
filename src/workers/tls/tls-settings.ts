import type { LeastStrength } from './strength.js'

/** What OpenSSL is set up with, as plain data. */
export interface TlsContext {
  /** Our certificates, at most one for each kind of key. */
  identities: TlsIdentity[]
  /** PEM of each certificate that clients' chains may end at. */
  authorities: string[]
  minVersion: TlsVersion
  maxVersion: TlsVersion
  /** Cipher suites of TLS 1.2, and of TLS 1.3; empty where the version is not spoken. */
  ciphers: string
  suites: string
  /** Key exchange groups; undefined where none is used. */
  groups: string | undefined
  /** Signature schemes, ours and the client's. */
  signatures: string
  /** Whether our order counts, and not the client's. */
  serverOrder: boolean
  encryptThenMac: boolean
  /** Whether the secrets of TLS 1.2 are bound to the handshake (RFC 7627), which clients may be required to do. */
  sessionHash: 'on' | 'off' | 'required'
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
  /** How strong their certificates must be. */
  least: LeastStrength
  /** Patterns for the clients' names; undefined lets every name in. */
  allowedNames: readonly string[] | undefined
  /** Memory of a `RevokedSerials`. */
  revoked: SharedArrayBuffer
}
