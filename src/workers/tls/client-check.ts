import { X509Certificate } from 'node:crypto'
import { compileGlob } from '../../protocol/glob.js'
import { Certificate } from './certificate.js'
import { dateFinding, findings } from './certificate-checks.js'
import { chainFailure, isRevoked, REASON } from './chain.js'
import { DerError } from './der.js'
import type { TlsSettings } from './tls-settings.js'

/** What TLS tells of the client when its handshake is through. */
export interface Presented {
  /** The client's own certificate, with those sent along as its `issuerCertificate`s; undefined if there is none. */
  leaf: X509Certificate | undefined
  /** What OpenSSL had against it: the name of the error, undefined if nothing. */
  error: string | undefined
}

export interface Verdict {
  /** The name in the certificate, where it can be read. It is the client's identity only if it is not refused. */
  name: string | undefined
  /** Why the client must not be let in. */
  refusal: string | undefined
  warnings: readonly string[]
}

/** libvirt's placeholder for the certificate of the session. */
const LABEL = '[session]'
const MAX_SENT = 8

const DN_NOT_ALLOWED =
  "Client's Distinguished Name is not on the list of allowed clients (tls_allowed_dn_list). " +
  "Use 'virt-pki-query-dn clientcert.pem' to view the Distinguished Name field in the client certificate"

/**
 * OpenSSL is stricter than GnuTLS in these: it wants a chain up to a self-signed certificate, and a purpose even where
 * the extension is not critical. For them the chain is looked at once more. It reports the last of its complaints
 * only, so none of them can just be passed over.
 */
const LOOKED_AT_AGAIN: readonly string[] = [
  'INVALID_PURPOSE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
]

const REASONS: Readonly<Record<string, string>> = {
  CERT_REVOKED: REASON.revoked,
  CA_MD_TOO_WEAK: REASON.insecure,
  CA_KEY_TOO_SMALL: REASON.insecure,
  EE_KEY_TOO_SMALL: REASON.insecure,
  DEPTH_ZERO_SELF_SIGNED_CERT: REASON.noIssuer,
  SELF_SIGNED_CERT_IN_CHAIN: REASON.noIssuer
}

/** Decides about clients by their certificates, with everything in memory: there is no time to wait for anything. */
export class ClientCheck {
  readonly #settings: TlsSettings
  readonly #anchors: readonly Certificate[]
  readonly #allowed: readonly ((name: string) => boolean)[] | undefined

  constructor(settings: TlsSettings) {
    this.#settings = settings
    this.#anchors = settings.context.ca.map(pem => new Certificate(new X509Certificate(pem)))
    this.#allowed = settings.allowedNames?.map(compileGlob)
  }

  /** The checks of virNetTLSContextValidCertificate, in its order; the first that fails decides. */
  judge({ leaf: x509, error }: Presented, now = Date.now()): Verdict {
    const verdict: Verdict = { name: undefined, refusal: undefined, warnings: [] }
    if (x509 === undefined) return { ...verdict, refusal: 'Unable to verify TLS peer: No certificate was found.' }
    try {
      const leaf = new Certificate(x509)
      return { ...verdict, name: leaf.name, ...this.#judge(leaf, sentWith(x509), error, now) }
    } catch (failure) {
      if (!(failure instanceof DerError)) throw failure
      return { ...verdict, refusal: `Certificate cannot be read: ${failure.message}` }
    }
  }

  #judge(leaf: Certificate, sent: Certificate[], error: string | undefined, now: number): Partial<Verdict> {
    const failure = this.#chainFailure(leaf, sent, error, now)
    if (failure !== undefined) {
      const code = error === undefined ? '' : ` (${error})`
      return { refusal: `Certificate failed validation: ${failure}${code}` }
    }
    if (this.#allowed !== undefined && !this.#allowed.some(fits => fits(leaf.name))) return { refusal: DN_NOT_ALLOWED }
    const found = findings(leaf, LABEL, 'client', now)
    for (const other of sent) {
      const date = dateFinding(other, LABEL, 'client', now)
      if (date !== undefined) found.push(date)
    }
    return {
      refusal: found.find(({ fatal }) => fatal)?.text,
      warnings: found.filter(({ fatal }) => !fatal).map(({ text }) => text)
    }
  }

  #chainFailure(leaf: Certificate, sent: Certificate[], error: string | undefined, now: number): string | undefined {
    const { revoked } = this.#settings
    if ([leaf, ...sent].some(certificate => isRevoked(certificate, revoked))) return REASON.revoked
    if (error === undefined) return undefined
    if (LOOKED_AT_AGAIN.includes(error)) return chainFailure(leaf, sent, this.#anchors, now)
    return REASONS[error] ?? REASON.untrusted
  }
}

function sentWith(leaf: X509Certificate): Certificate[] {
  const sent: Certificate[] = []
  for (let next = leaf.issuerCertificate; next !== undefined && sent.length < MAX_SENT; next = next.issuerCertificate) {
    sent.push(new Certificate(next))
  }
  return sent
}
