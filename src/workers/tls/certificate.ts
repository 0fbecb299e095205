import { X509Certificate } from 'node:crypto'
import { child, children, DerError, oidText, readDer, readTime, serialText, TAG, type DerElement } from './der.js'
import { distinguishedName } from './distinguished-name.js'
import { pemBlocks } from './pem.js'

/** Bits of the key usage extension's first byte. */
export const USAGE = { digitalSignature: 0x80, keyEncipherment: 0x20, keyCertSign: 0x04 } as const

const EXTENSION = { keyUsage: '2.5.29.15', basicConstraints: '2.5.29.19', extKeyUsage: '2.5.29.37' } as const

interface Extension {
  readonly critical: boolean
  /** DER of the extension's own type. */
  readonly value: Buffer
}

const RSA = '1.2.840.113549.1.1.1'

/**
 * A certificate with what Node's own class does not tell: the plain key usage, which extensions are critical, and the
 * name in libvirt's form.
 */
export class Certificate {
  /** Subject, in libvirt's form. */
  readonly name: string
  /** DER of the names in hexadecimal; with the serial number, the issuer's is what revocation lists go by. */
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
  /** Undefined where the extension is absent. */
  readonly isAuthority: boolean | undefined
  /** Certificates of authorities that may stand between this one and a leaf. */
  readonly maxPathLength: number
  readonly keyUsage: { critical: boolean; bits: number } | undefined
  /** Extended key usage, by OID. */
  readonly purposes: { critical: boolean; oids: readonly string[] } | undefined
  readonly criticalExtensions: readonly string[]
  readonly signatureAlgorithm: string
  /** The key is for RSA, which can encipher. */
  readonly isRsa: boolean
  #x509: X509Certificate | undefined

  /** `raw`: its DER; `x509`: it as Node has it, if it is there already. Throws DerError where it cannot be read. */
  constructor(readonly raw: Buffer, x509?: X509Certificate) {
    this.#x509 = x509
    const parts = children(readDer(raw))
    const fields = children(child(parts, 0))
    // The version is left out for v1.
    if (fields[0]?.tag === TAG.context(0)) fields.shift()
    this.signatureAlgorithm = oidText(child(children(child(parts, 1)), 0))
    this.serial = serialText(child(fields, 0))
    this.issuer = child(fields, 2).raw.toString('hex')
    const validity = children(child(fields, 3))
    this.notBefore = readTime(child(validity, 0))
    this.notAfter = readTime(child(validity, 1))
    this.subject = child(fields, 4).raw.toString('hex')
    this.name = distinguishedName(child(fields, 4))
    this.isRsa = oidText(child(children(child(children(child(fields, 5)), 0)), 0)) === RSA
    const extensions = readExtensions(fields.find(field => field.tag === TAG.context(3)))
    this.criticalExtensions = [...extensions].filter(([, { critical }]) => critical).map(([oid]) => oid)
    const constraints = basicConstraints(extensions.get(EXTENSION.basicConstraints))
    this.isAuthority = constraints.authority
    this.maxPathLength = constraints.pathLength
    const usage = extensions.get(EXTENSION.keyUsage)
    this.keyUsage = usage && { critical: usage.critical, bits: readDer(usage.value).content[1] ?? 0 }
    const purposes = extensions.get(EXTENSION.extKeyUsage)
    this.purposes = purposes && {
      critical: purposes.critical,
      oids: children(readDer(purposes.value)).map(oidText)
    }
  }

  /** Node's own, which costs more than all the rest: made when it is asked for. */
  get x509(): X509Certificate {
    return (this.#x509 ??= new X509Certificate(this.raw))
  }
}

function readExtensions(field: DerElement | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>()
  if (field === undefined) return extensions
  for (const element of children(readDer(field.content))) {
    const parts = children(element)
    const critical = parts.length > 2 && child(parts, 1).content[0] !== 0
    extensions.set(oidText(child(parts, 0)), { critical, value: child(parts, parts.length - 1).content })
  }
  return extensions
}

function basicConstraints(extension: Extension | undefined): { authority: boolean | undefined; pathLength: number } {
  if (extension === undefined) return { authority: undefined, pathLength: Infinity }
  const parts = children(readDer(extension.value))
  const authority = parts[0]?.tag === TAG.boolean && parts[0].content[0] !== 0
  const length = parts.find(part => part.tag === TAG.integer)
  return { authority, pathLength: length === undefined ? Infinity : parseInt(serialText(length), 16) }
}

/** The certificates of a PEM text, in their order. Throws where one of them cannot be read. */
export function readPem(text: string): Certificate[] {
  return pemBlocks(text, ['CERTIFICATE', 'X509 CERTIFICATE']).map(block => {
    if (block.unreadable) throw new DerError('not in Base64')
    const x509 = new X509Certificate(block.der)
    return new Certificate(x509.raw, x509)
  })
}
