import { ConfError, EXIT } from './grammar.js'
import type { Settings } from './keys.js'
import type { Paths } from './paths.js'

/** The files that a TLS listener works with. */
export interface TlsFiles {
  ca: string
  /** Optional on disk. Undefined: there is no revocation list, whatever lies in the default place. */
  crl: string | undefined
  /** At least one pair, in the order of preference. */
  identities: readonly { certificate: string; key: string }[]
}

type TlsSettings = Pick<Settings, 'caFile' | 'certFile' | 'keyFile' | 'certFiles' | 'keyFiles' | 'crlFile'>

/**
 * Decides which files to use; does not read them. `exists` tells whether a path exists, because a user's own files fall
 * back to the system's. Throws a ConfError with exit code 6.
 */
export function tlsFiles(settings: TlsSettings, paths: Paths, exists: (path: string) => boolean): TlsFiles {
  const { caFile, certFile, keyFile, certFiles, keyFiles, crlFile } = settings
  if (certFiles !== undefined || keyFiles !== undefined) {
    if (certFile !== undefined || keyFile !== undefined) {
      refuse('cert_files and key_files cannot be combined with cert_file and key_file')
    }
    const [first, ...others] = pair(certFiles ?? [], keyFiles ?? [])
    const { ca } = explicit(caFile, first?.certificate, first?.key)
    return { ca, crl: crlFile, identities: first === undefined ? others : [first, ...others] }
  }
  if (caFile !== undefined || certFile !== undefined || keyFile !== undefined) {
    const { ca, certificate, key } = explicit(caFile, certFile, keyFile)
    return { ca, crl: crlFile, identities: [{ certificate, key }] }
  }
  // As in libvirt, crl_file says nothing here: the default place goes with the default files.
  const last = paths.tls.at(-1)
  if (last === undefined) return refuse('No CA certificate path set to match server key/cert')
  const { certificate, key } = paths.tls.find(set => exists(set.certificate) && exists(set.key)) ?? last
  return {
    ca: (paths.tls.find(set => exists(set.ca)) ?? last).ca,
    crl: (paths.tls.find(set => exists(set.crl)) ?? last).crl,
    identities: [{ certificate, key }]
  }
}

function explicit(ca: string | undefined, certificate: string | undefined, key: string | undefined) {
  if (ca === undefined) return refuse('No CA certificate path set to match server key/cert')
  if (certificate === undefined) return refuse('No server certificate path set to match server key')
  if (key === undefined) return refuse('No server key path set to match server cert')
  return { ca, certificate, key }
}

function pair(certificates: readonly string[], keys: readonly string[]) {
  if (certificates.length !== keys.length) refuse('cert_files and key_files must name the same number of files')
  return certificates.map((certificate, index) => ({ certificate, key: keys[index] ?? '' }))
}

function refuse(what: string): never {
  throw new ConfError(`unsupported configuration: ${what}`, EXIT.network)
}
