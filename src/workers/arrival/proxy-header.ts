import { isIPv4, isIPv6 } from 'node:net'
import { ipText, ipv6Text, type IpEndpoint } from '../os/address.js'

/**
 * The header that a proxy writes before the bytes of a client, of the PROXY protocol's versions 1 and 2
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Nothing of it can be longer than MAX_PROXY_HEADER.
 */
export interface ProxyHeader {
  /** Bytes of the header; what comes behind them is the client's. */
  readonly length: number
  /** Where the client is; undefined if the proxy speaks for itself (LOCAL), or does not say (UNKNOWN, UNIX sockets). */
  readonly source: IpEndpoint | undefined
  /** Undefined if the client did not come to the proxy over TLS, or the proxy does not say so. */
  readonly tls: ProxiedTls | undefined
}

/** What the proxy says of a client's TLS connection, which ends there. */
export interface ProxiedTls {
  /** A certificate was shown in this connection, and not only in the session that it resumes. */
  readonly showedCertificate: boolean
  /** The proxy has checked the certificate and found nothing. */
  readonly verified: boolean
  /** DER of the client's certificate, where the proxy sends it along. */
  readonly certificate: Buffer | undefined
}

/** The message says what is wrong, without a byte of what was sent. */
export class ProxyHeaderError extends Error {}

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const V1_START = Buffer.from('PROXY ')
const V1_MAX = 107
const V2_START = 16
/** Addresses of UNIX sockets, which are the longest, and what may stand behind them. */
const V2_MAX_REST = 216 + 4096
/** In bytes. */
export const MAX_PROXY_HEADER = V2_START + V2_MAX_REST

const COMMAND = { local: 0, proxy: 1 } as const
const STREAM = 1
/** Address families, and the bytes of an address of each. */
const INET = 1
const INET6 = 2
const UNIX = 3
const BLOCK_BYTES: Readonly<Record<number, number>> = { 0: 0, [INET]: 12, [INET6]: 36, [UNIX]: 216 }

const TLV = {
  crc32c: 0x03,
  ssl: 0x20,
  /** Of those for own use, the one that carries the client's certificate as base64 (docs/authentication.md). */
  certificateText: 0xe0
} as const
/** Within the one of TLS. */
const SSL_CERTIFICATE = 0x28
const CLIENT_SSL = 0x01
const CLIENT_CERT_CONN = 0x02

/**
 * Reads the header at the start of `bytes`, which may hold more than it, or only a part: then it returns undefined. Throws
 * ProxyHeaderError as soon as no header can become of it.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined
  return begins(bytes, V1_START) ? readText(bytes) : begins(bytes, SIGNATURE) ? readBinary(bytes) : refuse('it does not begin as one')
}

/** As far as there are bytes. */
const begins = (bytes: Buffer, start: Buffer): boolean =>
  bytes.subarray(0, start.length).equals(start.subarray(0, bytes.length))

// Version 1

function readText(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, V1_MAX).indexOf('\r\n')
  if (end < 0) return bytes.length < V1_MAX ? undefined : refuse(`its line is longer than ${V1_MAX} bytes`)
  const length = end + 2
  const [, family, from, to, fromPort, toPort, ...more] = bytes.toString('latin1', 0, end).split(' ')
  // What stands behind it is of no concern.
  if (family === 'UNKNOWN') return { length, source: undefined, tls: undefined }
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isNumericIpv6 : undefined
  if (isAddress === undefined) refuse('its address family is not known')
  const port = portIn(fromPort)
  const complete = from !== undefined && to !== undefined && isAddress(from) && isAddress(to) && portIn(toPort) !== undefined
  if (!complete || port === undefined || more.length > 0) refuse('its addresses cannot be read')
  return { length, source: { ip: ipText(from), port }, tls: undefined }
}

const isNumericIpv6 = (text: string): boolean => isIPv6(text) && !text.includes('%')

function portIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0|[1-9]\d{0,4})$/.test(text)) return undefined
  const port = Number(text)
  return port < 65536 ? port : undefined
}

// Version 2

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < V2_START) return undefined
  const command = bytes[12]! & 0x0f
  if (bytes[12]! >> 4 !== 2) refuse('its version is not known')
  if (command !== COMMAND.local && command !== COMMAND.proxy) refuse('its command is not known')
  const rest = bytes.readUInt16BE(14)
  if (rest > V2_MAX_REST) refuse(`it is longer than ${MAX_PROXY_HEADER} bytes`)
  const length = V2_START + rest
  if (bytes.length < length) return undefined
  // What a proxy says of its own connections is of no concern.
  if (command === COMMAND.local) return { length, source: undefined, tls: undefined }
  const header = bytes.subarray(0, length)
  const family = header[13]! >> 4
  const known = BLOCK_BYTES[family]
  if (known === undefined || rest < known) refuse('its addresses cannot be read')
  if (family !== 0 && (header[13]! & 0x0f) !== STREAM) refuse('it is not of a stream')
  const values = readValues(header.subarray(V2_START + known))
  checkSum(header, values)
  return { length, source: sourceIn(header, family), tls: tlsIn(values) }
}

function sourceIn(header: Buffer, family: number): IpEndpoint | undefined {
  if (family === INET) return { ip: header.subarray(16, 20).join('.'), port: header.readUInt16BE(24) }
  if (family !== INET6) return undefined
  return { ip: ipv6Text(header.subarray(16, 32)), port: header.readUInt16BE(48) }
}

/** Of each type what came last, as a part of `bytes`. */
function readValues(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const values = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length;) {
    const end = at + 3 + (at + 3 <= bytes.length ? bytes.readUInt16BE(at + 1) : 0)
    if (end > bytes.length || at + 3 > bytes.length) refuse('a value in it is cut off')
    values.set(bytes[at]!, bytes.subarray(at + 3, end))
    at = end
  }
  return values
}

function tlsIn(values: ReadonlyMap<number, Buffer>): ProxiedTls | undefined {
  const ssl = values.get(TLV.ssl)
  if (ssl === undefined) return undefined
  if (ssl.length < 5) refuse('what it says of TLS is cut off')
  const client = ssl[0]!
  if ((client & CLIENT_SSL) === 0) return undefined
  return {
    showedCertificate: (client & CLIENT_CERT_CONN) !== 0,
    verified: ssl.readUInt32BE(1) === 0,
    certificate: readValues(ssl.subarray(5)).get(SSL_CERTIFICATE) ?? fromBase64(values.get(TLV.certificateText))
  }
}

function fromBase64(text: Buffer | undefined): Buffer | undefined {
  // A proxy writes an empty value, or a dash, for what it does not have.
  if (text === undefined || text.length < 4) return undefined
  const der = Buffer.from(text.toString('latin1'), 'base64')
  if (der.toString('base64') !== text.toString('latin1')) refuse('the certificate in it is not base64')
  return der
}

/** The sum is made with zeros in the place of the sum. */
function checkSum(header: Buffer, values: ReadonlyMap<number, Buffer>): void {
  const sum = values.get(TLV.crc32c)
  if (sum === undefined) return
  const at = sum.byteOffset - header.byteOffset
  if (sum.length !== 4) refuse('its checksum is cut off')
  let crc = 0xffffffff
  for (const [i, byte] of header.entries()) {
    crc ^= i >= at && i < at + 4 ? 0 : byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  if ((~crc >>> 0) !== sum.readUInt32BE(0)) refuse('its checksum is wrong')
}

function refuse(why: string): never {
  throw new ProxyHeaderError(why)
}
