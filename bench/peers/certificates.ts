import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Paths of PEM files. One certificate serves clients and servers. */
export interface Certificates {
  ca: string
  certificate: string
  key: string
  /** Certificate and key in one file, as HAProxy wants them. */
  both: string
  /** Clients must have one. */
  required: boolean
}

/** Makes an authority, and a certificate with an RSA key of so many bits, in `directory`. */
export function makeCertificates(directory: string, required: boolean, bits: number): Certificates {
  const at = (name: string): string => path.join(directory, name)
  const files = { ca: at('ca.pem'), certificate: at('cert.pem'), key: at('key.pem'), both: at('both.pem'), required }
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const newKey = (length: number): string[] => ['-newkey', `rsa:${length}`, '-nodes']
  const authority = ['-addext', 'keyUsage=critical,keyCertSign']
  openssl('req', '-x509', ...newKey(2048), '-subj', '/CN=bench CA', ...authority, '-keyout', at('ca.key'), '-out', files.ca)
  openssl('req', ...newKey(bits), '-subj', '/CN=127.0.0.1', '-keyout', files.key, '-out', at('request.pem'))
  writeFileSync(at('extensions'), 'basicConstraints = CA:FALSE\n')
  openssl(
    'x509', '-req', '-in', at('request.pem'), '-CA', files.ca, '-CAkey', at('ca.key'), '-set_serial', '2',
    '-extfile', at('extensions'), '-out', files.certificate
  )
  writeFileSync(files.both, readFileSync(files.certificate, 'utf8') + readFileSync(files.key, 'utf8'))
  return files
}
