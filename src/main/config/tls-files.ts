import { EXIT, StartupError } from './startup-error.js'
import type { Settings } from './keys.js'
import type { Paths } from './paths.js'

/** The files that a TLS listener works with. */
export interface TlsFiles {
  ca: string
  /** Optional on disk. Undefined: there is no revocation list, whatever lies in the default place. */
  crl: string | undefined
  /** At least one pair, in the order of preference. */
  identities: readonly Pair[]
  /**
   * Further pairs, which are looked for at each load, up to the first that is not there. Beside one of these the first
   * identity need not be there either.
   */
  indexed: readonly Pair[]
}

export interface Pair {
  certificate: string
  key: string
}

type TlsSettings = Pick<Settings, 'caFile' | 'certFile' | 'keyFile' | 'certFiles' | 'keyFiles' | 'crlFile'>

/**
 * Decides which files to use; does not read them. `exists` tells whether a path exists, because a user's own files fall
 * back to the system's. Throws a StartupError with exit code 6.
 */
export function tlsFiles(settings: TlsSettings, paths: Paths, exists: (path: string) => boolean): TlsFiles {
  const { certFiles, keyFiles } = settings
  // An empty name is none: files are written so by tools that have no value for a key.
  const [caFile, certFile, keyFile, crlFile] = [settings.caFile, settings.certFile, settings.keyFile, settings.crlFile].map(
    file => (file === '' ? undefined : file)
  )
  if (certFiles !== undefined || keyFiles !== undefined) {
    if (certFile !== undefined || keyFile !== undefined) {
      refuse('cert_files and key_files cannot be combined with cert_file and key_file')
    }
    const [first, ...others] = pair(certFiles ?? [], keyFiles ?? [])
    const { ca } = explicit(caFile, first?.certificate, first?.key)
    return { ca, crl: crlFile, identities: first === undefined ? others : [first, ...others], indexed: [] }
  }
  if (caFile !== undefined || certFile !== undefined || keyFile !== undefined) {
    const { ca, certificate, key } = explicit(caFile, certFile, keyFile)
    return { ca, crl: crlFile, identities: [{ certificate, key }], indexed: [] }
  }
  // As in libvirt, crl_file says nothing here: the default place goes with the default files.
  const last = paths.tls.at(-1)
  if (last === undefined) return refuse('No CA certificate path set to match server key/cert')
  const complete = ({ certificate, key }: Pair): boolean => exists(certificate) && exists(key)
  const own = paths.tls.find(set => complete(set) || complete(withIndex(set, 0))) ?? last
  return {
    ca: (paths.tls.find(set => exists(set.ca)) ?? last).ca,
    crl: (paths.tls.find(set => exists(set.crl)) ?? last).crl,
    identities: [{ certificate: own.certificate, key: own.key }],
    indexed: [0, 1, 2, 3].map(index => withIndex(own, index))
  }
}

/** `servercert.pem` and `servercert0.pem` … `servercert3.pem` stand for certificates with different kinds of keys. */
function withIndex({ certificate, key }: Pair, index: number): Pair {
  const name = (path: string): string => path.replace(/\.pem$/, `${index}.pem`)
  return { certificate: name(certificate), key: name(key) }
}

function explicit(ca: string | undefined, certificate: string | undefined, key: string | undefined) {
  if (ca === undefined) return refuse('No CA certificate path set to match server key/cert')
  if (certificate === undefined) return refuse('No server certificate path set to match server key')
  if (key === undefined) return refuse('No server key path set to match server cert')
  return { ca, certificate, key }
}

function pair(certificates: readonly string[], keys: readonly string[]): Pair[] {
  if (certificates.length !== keys.length) refuse('cert_files and key_files must name the same number of files')
  return certificates.map((certificate, index) => ({ certificate, key: keys[index] ?? '' }))
}

function refuse(what: string): never {
  throw new StartupError(`unsupported configuration: ${what}`, EXIT.network)
}
