import type { Config } from '../config/load.js'
import type { TlsOptions } from './load.js'

/** What a configuration asks of TLS; undefined where no listener wants it. */
export function tlsOptions(config: Config): TlsOptions | undefined {
  const { tls, priority, tlsNoSanityCertificate, tlsNoVerifyCertificate, tlsAllowedDnList } = config
  if (tls === undefined || priority === undefined) return undefined
  return {
    files: tls,
    priority,
    sanity: !tlsNoSanityCertificate,
    verify: !tlsNoVerifyCertificate,
    allowedNames: tlsAllowedDnList
  }
}
