import type { X509Certificate } from 'node:crypto'
import { compileGlob } from '../../protocol/glob.js'
import { Certificate } from './certificate.js'
import { dateFinding, findings } from './certificate-checks.js'
import { isRevoked, REASON, type Revoked } from './chain.js'
import { RevokedSerials } from './revoked-serials.js'
import { DerError } from './der.js'
import { VERIFY } from './secure-channel.js'
import type { TlsSettings } from './tls-settings.js'

/** What TLS tells of the client when its handshake is through. */
export interface Presented {
  /** The client's own certificate first, then those sent along. */
  certificates: readonly X509Certificate[]
  /** What OpenSSL found out about the chain, as `SecureChannel.verification`. */
  verification: { code: number; text: string }
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

const DN_NOT_ALLOWED =
  "Client's Distinguished Name is not on the list of allowed clients (tls_allowed_dn_list). " +
  "Use 'virt-pki-query-dn clientcert.pem' to view the Distinguished Name field in the client certificate"

/** Decides about clients by their certificates, with everything in memory: there is no time to wait for anything. */
export class ClientCheck {
  readonly #revoked: Revoked
  readonly #allowed: readonly ((name: string) => boolean)[] | undefined

  constructor(settings: Pick<TlsSettings, 'allowedNames' | 'revoked'>) {
    this.#revoked = new RevokedSerials(settings.revoked)
    this.#allowed = settings.allowedNames?.map(compileGlob)
  }

  /** The checks of virNetTLSContextValidCertificate, in its order; the first that fails decides. */
  judge({ certificates, verification }: Presented, now = Date.now()): Verdict {
    const verdict: Verdict = { name: undefined, refusal: undefined, warnings: [] }
    try {
      const [leaf, ...sent] = certificates.map(x509 => new Certificate(x509))
      if (leaf === undefined) return { ...verdict, refusal: 'Unable to verify TLS peer: No certificate was found.' }
      return { ...verdict, name: leaf.name, ...this.#judge(leaf, sent, verification, now) }
    } catch (error) {
      if (!(error instanceof DerError)) throw error
      return { ...verdict, refusal: `Certificate cannot be read: ${error.message}` }
    }
  }

  #judge(leaf: Certificate, sent: Certificate[], { code, text }: Presented['verification'], now: number): Partial<Verdict> {
    if ([leaf, ...sent].some(certificate => isRevoked(certificate, this.#revoked))) return invalid(REASON.revoked)
    if (code !== VERIFY.ok) return invalid(`${reasonFor(code)} (${text})`)
    if (this.#allowed !== undefined && !this.#allowed.some(fits => fits(leaf.name))) return { refusal: DN_NOT_ALLOWED }
    const found = findings(leaf, LABEL, 'client', now)
    for (const other of sent) {
      const date = dateFinding(other, LABEL, 'client', now)
      if (date !== undefined) found.push(date)
    }
    return {
      refusal: found.find(({ fatal }) => fatal)?.text,
      warnings: found.filter(({ fatal }) => !fatal).map(finding => finding.text)
    }
  }
}

const invalid = (why: string): Partial<Verdict> => ({ refusal: `Certificate failed validation: ${why}` })

function reasonFor(code: number): string {
  const { noIssuer, insecure } = VERIFY
  if ((noIssuer as readonly number[]).includes(code)) return REASON.noIssuer
  return (insecure as readonly number[]).includes(code) ? REASON.insecure : REASON.untrusted
}
