import { X509Certificate } from 'node:crypto'
import type { TlsContext } from '../../workers/tls/tls-settings.js'
import { gauge, type Sample, type Source } from './metric.js'

export type MeasuredCertificates = Pick<TlsContext, 'identities' | 'authorities'>

/** A bundle may have hundreds of authorities. */
const MOST_OF_A_ROLE = 32

export interface CertificateInUse {
  /** `server`, `chain` (sent with it) or `ca`. */
  readonly role: string
  /** Among those of its role, in the order of the files. */
  readonly index: number
  readonly subject: string
  /** In seconds since 1970. */
  readonly from: number
  readonly to: number
}

type Parsed = Pick<CertificateInUse, 'subject' | 'from' | 'to'>

/** Those that `certificates` tells of, which says undefined without TLS. Each is parsed once. */
export class CertificatesInUse {
  readonly #certificates: () => MeasuredCertificates | undefined
  #parsed = new Map<string, Parsed>()

  constructor(certificates: () => MeasuredCertificates | undefined) {
    this.#certificates = certificates
  }

  get all(): CertificateInUse[] {
    const { identities, authorities } = this.#certificates() ?? { identities: [], authorities: [] }
    const roles = {
      server: identities.flatMap(({ chain }) => chain.slice(0, 1)),
      chain: identities.flatMap(({ chain }) => chain.slice(1)),
      ca: authorities
    }
    const used = new Map<string, Parsed>()
    const all = Object.entries(roles).flatMap(([role, pems]) =>
      pems.slice(0, MOST_OF_A_ROLE).map((pem, index) => {
        const parsed = this.#parsed.get(pem) ?? parse(pem)
        used.set(pem, parsed)
        return { role, index, ...parsed }
      })
    )
    this.#parsed = used
    return all
  }
}

export const certificateSource = (certificates: CertificatesInUse): Source => () => {
  const { all } = certificates
  const samples = (what: 'from' | 'to'): Sample[] =>
    all.map(certificate => ({ labels: { role: certificate.role, index: String(certificate.index) }, value: certificate[what] }))
  return [
    gauge('certificate_not_after_seconds', 'When a certificate expires, in seconds since 1970.', samples('to')),
    gauge('certificate_not_before_seconds', 'From when on a certificate counts, in seconds since 1970.', samples('from'))
  ]
}

function parse(pem: string): Parsed {
  const { subject, validFrom, validTo } = new X509Certificate(pem)
  return { subject: subject.replaceAll('\n', ', '), from: Date.parse(validFrom) / 1000, to: Date.parse(validTo) / 1000 }
}
