import { compileGlob } from '../../protocol/glob.js'
import { isDeceptive } from '../base/peer-names.js'
import { Certificate } from './certificate.js'
import { dateFinding, findings } from './certificate-checks.js'
import { isRevoked, REASON, type Revoked } from './chain.js'
import { RevokedSerials } from './revoked-serials.js'
import { DerError, readDer } from './der.js'
import { distinguishedName } from './distinguished-name.js'
import { VERIFY, type Presented } from './presented.js'
import type { LeastStrength } from './strength.js'
import type { TlsSettings } from './tls-settings.js'

export interface Verdict {
  /** The name in the certificate, where it can be read. It is the client's identity only if it is not refused. */
  name: string | undefined
  /** Why the client must not be let in. */
  refusal: string | undefined
  warnings: readonly string[]
  /** Of a certificate that an authority of ours vouches for, in hexadecimal. */
  serial?: string
}

/** What tells a client that its certificate is accepted: the one byte before the first frame. */
export const CONFIRMATION = Buffer.from([1])

/** libvirt's placeholder for the certificate of the session. */
const LABEL = '[session]'

const DN_NOT_ALLOWED =
  "Client's Distinguished Name is not on the list of allowed clients (tls_allowed_dn_list). " +
  "Use 'virt-pki-query-dn clientcert.pem' to view the Distinguished Name field in the client certificate"

/** Decides about clients by their certificates, with everything in memory: there is no time to wait for anything. */
export class ClientCheck {
  readonly #least: LeastStrength
  readonly #revoked: Revoked
  readonly #allowed: readonly ((name: string) => boolean)[] | undefined

  constructor(settings: Pick<TlsSettings, 'allowedNames' | 'revoked' | 'least'>) {
    this.#least = settings.least
    this.#revoked = new RevokedSerials(settings.revoked)
    this.#allowed = settings.allowedNames?.map(compileGlob)
  }

  /**
   * The checks of virNetTLSContextValidCertificate; the first that fails decides. Anybody can make a certificate: before
   * an authority of ours vouches for it, nothing of it is looked at but its name, for the log.
   */
  judge(presented: Presented, now = Date.now()): Verdict {
    const verification = presented.verification(this.#least)
    if (verification === undefined) return refused('Unable to verify TLS peer: No certificate was found.')
    if (verification.code !== VERIFY.ok) return refused(invalid(reasonFor(verification)), nameIn(presented))
    try {
      const [leaf, ...sent] = presented.certificates().map(der => new Certificate(der))
      return this.#judge(leaf!, sent, now)
    } catch (error) {
      if (!(error instanceof DerError)) throw error
      return refused(`Certificate cannot be read: ${error.message}`)
    }
  }

  #judge(leaf: Certificate, sent: readonly Certificate[], now: number): Verdict {
    const { name } = leaf
    if ([leaf, ...sent].some(certificate => isRevoked(certificate, this.#revoked))) return refused(invalid(REASON.revoked), name)
    if (isDeceptive(name)) return refused("Client's Distinguished Name holds characters that are not text", name)
    if (this.#allowed !== undefined && !this.#allowed.some(fits => fits(name))) return refused(DN_NOT_ALLOWED, name)
    const found = findings(leaf, LABEL, 'client', now)
    for (const other of sent) {
      const date = dateFinding(other, LABEL, 'client', now)
      if (date !== undefined) found.push(date)
    }
    return {
      name,
      serial: leaf.serial,
      refusal: found.find(({ fatal }) => fatal)?.text,
      warnings: found.filter(({ fatal }) => !fatal).map(finding => finding.text)
    }
  }
}

const refused = (refusal: string, name?: string): Verdict => ({ name, refusal, warnings: [] })

const invalid = (why: string): string => `Certificate failed validation: ${why}`

function reasonFor({ code, text }: { code: number; text: string }): string {
  const { noIssuer, insecure } = VERIFY
  const known = (codes: readonly number[]): boolean => codes.includes(code)
  return `${known(noIssuer) ? REASON.noIssuer : known(insecure) ? REASON.insecure : REASON.untrusted} (${text})`
}

/** Of a certificate that may hold anything. */
function nameIn(presented: Presented): string | undefined {
  try {
    return distinguishedName(readDer(presented.subject()))
  } catch (error) {
    if (!(error instanceof DerError)) throw error
    return undefined
  }
}
