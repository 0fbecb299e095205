import { isUtf8 } from 'node:buffer'
import { child, children, oidText, TAG, type DerElement } from './der.js'

/** String types that an attribute may have; with any other, or no text in it, its value is shown as hexadecimal. */
const TEXT = [TAG.utf8String, TAG.printableString, TAG.bmpString]
const PRINTABLE = [TAG.printableString]
const IA5 = [TAG.ia5String]

const JURISDICTION = '1.3.6.1.4.1.311.60.2.1'

/** The names that GnuTLS has for attributes, with the string types it expects. */
const ATTRIBUTES = new Map<string, readonly [name: string, types: readonly number[]]>([
  ['2.5.4.3', ['CN', TEXT]],
  ['2.5.4.4', ['surName', TEXT]],
  ['2.5.4.5', ['serialNumber', PRINTABLE]],
  ['2.5.4.6', ['C', PRINTABLE]],
  ['2.5.4.7', ['L', TEXT]],
  ['2.5.4.8', ['ST', TEXT]],
  ['2.5.4.9', ['street', TEXT]],
  ['2.5.4.10', ['O', TEXT]],
  ['2.5.4.11', ['OU', TEXT]],
  ['2.5.4.12', ['title', TEXT]],
  ['2.5.4.13', ['description', TEXT]],
  ['2.5.4.15', ['businessCategory', TEXT]],
  ['2.5.4.17', ['postalCode', TEXT]],
  ['2.5.4.20', ['telephoneNumber', PRINTABLE]],
  ['2.5.4.41', ['name', TEXT]],
  ['2.5.4.42', ['givenName', TEXT]],
  ['2.5.4.43', ['initials', TEXT]],
  ['2.5.4.44', ['generationQualifier', TEXT]],
  ['2.5.4.46', ['dnQualifier', PRINTABLE]],
  ['2.5.4.65', ['pseudonym', TEXT]],
  ['0.9.2342.19200300.100.1.1', ['UID', TEXT]],
  ['0.9.2342.19200300.100.1.25', ['DC', IA5]],
  ['1.2.840.113549.1.9.1', ['EMAIL', IA5]],
  [`${JURISDICTION}.1`, ['jurisdictionOfIncorporationLocalityName', TEXT]],
  [`${JURISDICTION}.2`, ['jurisdictionOfIncorporationStateOrProvinceName', TEXT]],
  [`${JURISDICTION}.3`, ['jurisdictionOfIncorporationCountryName', PRINTABLE]]
])

/**
 * A Name (RFC 5280) as libvirt writes it: GnuTLS's older form, in the order of the certificate. Throws DerError. It is
 * what `virt-pki-query-dn` prints and `tls_allowed_dn_list` is matched with.
 */
export function distinguishedName(name: DerElement): string {
  return children(name)
    .map(rdn => children(rdn).map(attribute).join('+'))
    .join(',')
}

function attribute(element: DerElement): string {
  const parts = children(element)
  const oid = oidText(child(parts, 0))
  const value = child(parts, 1)
  const [name, types] = ATTRIBUTES.get(oid) ?? [oid, []]
  const shown = types.includes(value.tag) ? text(value) : undefined
  return `${name}=${shown === undefined ? `#${value.raw.toString('hex')}` : escaped(shown)}`
}

/** Undefined where it is none: what stands for unreadable bytes would make different names equal. */
function text({ tag, content }: DerElement): string | undefined {
  if (tag !== TAG.bmpString) return isUtf8(content) ? content.toString('utf8') : undefined
  const decoded = Buffer.from(content.subarray(0, content.length & ~1)).swap16().toString('utf16le')
  return /\p{Surrogate}/u.test(decoded) ? undefined : decoded
}

const escaped = (value: string): string => value.replace(/[,+"\\<>;]|^[ #]| $/g, '\\$&')
