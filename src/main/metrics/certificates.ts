import { X509Certificate } from 'node:crypto'
import type { TlsContext } from '../../workers/tls/tls-settings.js'
import { gauge, type Sample, type Source } from './metric.js'

export type MeasuredCertificates = Pick<TlsContext, 'identities' | 'authorities'>

/** A bundle may have hundreds of authorities. */
const MOST_OF_A_ROLE = 32

interface Dates {
  readonly from: number
  readonly to: number
}

/** `certificates`: those in use now; undefined without TLS. Each is parsed once. */
export function certificateSource(certificates: () => MeasuredCertificates | undefined): Source {
  let known = new Map<string, Dates>()
  return () => {
    const { identities, authorities } = certificates() ?? { identities: [], authorities: [] }
    const roles = {
      server: identities.flatMap(({ chain }) => chain.slice(0, 1)),
      chain: identities.flatMap(({ chain }) => chain.slice(1)),
      ca: authorities
    }
    const used = new Map<string, Dates>()
    const [after, before]: [Sample[], Sample[]] = [[], []]
    for (const [role, pems] of Object.entries(roles)) {
      for (const [index, pem] of pems.slice(0, MOST_OF_A_ROLE).entries()) {
        const dates = known.get(pem) ?? datesOf(pem)
        used.set(pem, dates)
        const labels = { role, index: String(index) }
        after.push({ labels, value: dates.to })
        before.push({ labels, value: dates.from })
      }
    }
    known = used
    return [
      gauge('certificate_not_after_seconds', 'When a certificate expires, in seconds since 1970.', after),
      gauge('certificate_not_before_seconds', 'From when on a certificate counts, in seconds since 1970.', before)
    ]
  }
}

function datesOf(pem: string): Dates {
  const { validFrom, validTo } = new X509Certificate(pem)
  return { from: Date.parse(validFrom) / 1000, to: Date.parse(validTo) / 1000 }
}
