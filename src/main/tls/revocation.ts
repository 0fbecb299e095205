import { verify, type KeyObject } from 'node:crypto'
import type { Certificate } from '../../workers/tls/certificate.js'
import { child, children, DerError, oidText, readDer, readTime, serialText, TAG } from '../../workers/tls/der.js'
import { pemBlocks } from '../../workers/tls/pem.js'

/** A certificate revocation list (RFC 5280, section 5). */
export interface RevocationList {
  /** As `Certificate.issuer`. */
  issuer: string
  serials: Set<string>
  /** When the next one was due, in milliseconds since the epoch; undefined if it does not say. */
  nextUpdate: number | undefined
  /** Whether `key` made its signature; false too where the kind of signature is not known. */
  signedBy(key: KeyObject): boolean
}

/** Digest by signature algorithm; null where the algorithm has its own. */
const DIGESTS: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.5': 'sha1',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.1': 'sha1',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null,
  '1.3.101.113': null
}

/** The lists of a PEM text. OpenSSL is not asked, because it refuses lists that libvirt's users have (docs/tls.md). */
export function readRevocationLists(pem: string): RevocationList[] {
  const blocks = pemBlocks(pem, ['X509 CRL'])
  if (blocks.length === 0 || blocks.some(({ unreadable }) => unreadable)) throw new DerError('no revocation list in PEM form')
  return blocks.map(({ der }) => readList(der))
}

function readList(der: Buffer): RevocationList {
  const [body, algorithm, signature] = children(readDer(der))
  const fields = children(body!)
  if (fields[0]?.tag === TAG.integer) fields.shift()
  const times = fields.filter(({ tag }) => tag === TAG.utcTime || tag === TAG.generalizedTime)
  const entries = fields.slice(2).find(({ tag }) => tag === TAG.sequence)
  const oid = oidText(child(children(algorithm!), 0))
  return {
    issuer: child(fields, 1).raw.toString('hex'),
    serials: new Set(entries === undefined ? [] : children(entries).map(entry => serialText(readDer(entry.content)))),
    nextUpdate: times[1] && readTime(times[1]),
    signedBy(key) {
      const digest = DIGESTS[oid]
      if (digest === undefined) return false
      try {
        // The first byte counts unused bits, of which signatures have none.
        return verify(digest, body!.raw, key, signature!.content.subarray(1))
      } catch {
        // The key is of another kind.
        return false
      }
    }
  }
}

/** Whether a certificate is that of the list's issuer: revocation lists name it by its subject. */
export function isIssuer(list: RevocationList, authority: Certificate): boolean {
  return authority.subject === list.issuer
}
