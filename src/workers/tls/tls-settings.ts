import type { Revoked } from './chain.js'

/** What the TLS library is set up with; a subset of Node's SecureContextOptions, as plain data. */
export interface TlsContext {
  /** PEM texts, pairwise; OpenSSL uses one pair for each kind of key. */
  cert: string[]
  key: string[]
  /** PEM of each trusted certificate. Never undefined: Node would trust the public authorities. */
  ca: string[]
  minVersion: 'TLSv1.2' | 'TLSv1.3'
  maxVersion: 'TLSv1.2' | 'TLSv1.3'
  ciphers?: string
  ecdhCurve?: string
  honorCipherOrder?: boolean
  /** 48 bytes, the same in all threads, so that a session can be resumed in any of them. */
  ticketKeys: Uint8Array
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
