import { execFileSync } from 'node:child_process'
import { createPrivateKey, sign, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** Paths of PEM files: a client's. */
export interface OwnCertificate {
  certificate: string
  key: string
}

/** Paths of PEM files. One certificate serves clients and servers. */
export interface Certificates {
  ca: string
  caKey: string
  certificate: string
  key: string
  /** Certificate and key in one file, as HAProxy wants them. */
  both: string
  /** Clients must have one. */
  required: boolean
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })

/** Makes an authority, and a certificate with an RSA key of so many bits, in `directory`. */
export function makeCertificates(directory: string, required: boolean, bits: number): Certificates {
  const at = (name: string): string => path.join(directory, name)
  const files = {
    ca: at('ca.pem'), caKey: at('ca.key'), certificate: at('cert.pem'), key: at('key.pem'), both: at('both.pem'), required
  }
  const newKey = (length: number): string[] => ['-newkey', `rsa:${length}`, '-nodes']
  const authority = ['-addext', 'keyUsage=critical,keyCertSign']
  openssl('req', '-x509', ...newKey(2048), '-subj', '/CN=bench CA', ...authority, '-keyout', files.caKey, '-out', files.ca)
  openssl('req', ...newKey(bits), '-subj', '/CN=127.0.0.1', '-keyout', files.key, '-out', at('request.pem'))
  writeFileSync(at('extensions'), 'basicConstraints = CA:FALSE\n')
  openssl(
    'x509', '-req', '-in', at('request.pem'), '-CA', files.ca, '-CAkey', files.caKey, '-set_serial', '2',
    '-extfile', at('extensions'), '-out', files.certificate
  )
  writeFileSync(files.both, readFileSync(files.certificate, 'utf8') + readFileSync(files.key, 'utf8'))
  return files
}

const SERIAL = '4000000000000000'
const NAME = 'client 00000000'
/** Of the authority's key, which is the certificate's last part. */
const SIGNATURE_BYTES = 256
/** After a tag, a length in two bytes. */
const LONG_HEADER = 4

/**
 * So many certificates of that authority in `directory`, each with a name and a serial number of its own; their key is the
 * same. One is made by openssl, the others are it with other numbers, signed here: a process for each would take minutes.
 */
export function makeClientCertificates(directory: string, { ca, caKey }: Certificates, count: number): OwnCertificate[] {
  const at = (name: string): string => path.join(directory, name)
  const key = at('client.key')
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', ...newKey, '-subj', `/CN=${NAME}`, '-keyout', key, '-out', at('client.request'))
  openssl(
    'x509', '-req', '-in', at('client.request'), '-CA', ca, '-CAkey', caKey, '-set_serial', `0x${SERIAL}`,
    '-extfile', at('extensions'), '-out', at('client.pem')
  )
  const bytes = new X509Certificate(readFileSync(at('client.pem'))).raw
  const signed = bytes.subarray(LONG_HEADER, 2 * LONG_HEADER + bytes.readUInt16BE(LONG_HEADER + 2))
  const serialAt = bytes.indexOf(SERIAL, 'hex')
  const nameAt = bytes.indexOf(NAME)
  const authority = createPrivateKey(readFileSync(caKey))
  return Array.from({ length: count }, (_, i) => {
    const digits = String(i).padStart(8, '0')
    bytes.writeUInt32BE(i, serialAt + 4)
    bytes.write(digits, nameAt + NAME.length - digits.length)
    sign('sha256', signed, authority).copy(bytes, bytes.length - SIGNATURE_BYTES)
    const certificate = at(`client-${digits}.pem`)
    writeFileSync(certificate, new X509Certificate(bytes).toString())
    return { certificate, key }
  })
}
