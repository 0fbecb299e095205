import net from 'node:net'
import { AF_INET, AF_INET6, AF_UNIX, getpeername, getsockname, Memory } from './libc.js'

/** Bytes that any socket address fits into (`struct sockaddr_un` is the longest). */
export const ADDRESS_BYTES = 110
const PATH_BYTES = 108

/** Whether a path, or a name that begins with `@`, fits the address of a UNIX socket. */
export const fitsUnixAddress = (path: string): boolean => Buffer.byteLength(path) < PATH_BYTES

/** Each writes a socket address to the start of `memory` and returns its length; 0 where it cannot be written. */
export function writeUnixAddress(memory: Memory, path: string): number {
  const bytes = Buffer.from(path)
  if (bytes.length === 0 || bytes.length >= PATH_BYTES) return 0
  memory.bytes.fill(0, 0, ADDRESS_BYTES)
  memory.bytes.writeUInt16LE(AF_UNIX, 0)
  bytes.copy(memory.bytes, 2)
  // A path that starts with `@` is abstract: its first byte is NUL, and the length counts.
  if (!path.startsWith('@')) return 2 + bytes.length + 1
  memory.bytes[2] = 0
  return 2 + bytes.length
}

/** `ip`: numeric; an IPv6 address may have a numeric scope (`fe80::1%2`). */
export function writeIpAddress(memory: Memory, ip: string, port: number): number {
  const { bytes } = memory
  bytes.fill(0, 0, ADDRESS_BYTES)
  bytes.writeUInt16BE(port, 2)
  if (net.isIPv4(ip)) {
    bytes.writeUInt16LE(AF_INET, 0)
    for (const [i, part] of ip.split('.').entries()) bytes[4 + i] = Number(part)
    return 16
  }
  if (!net.isIPv6(ip)) return 0
  bytes.writeUInt16LE(AF_INET6, 0)
  const [address = '', scope] = ip.split('%')
  for (const [i, group] of ipv6Groups(address).entries()) bytes.writeUInt16BE(group, 8 + 2 * i)
  if (scope !== undefined) bytes.writeUInt32LE(Number(scope) || 0, 24)
  return 28
}

/** A numeric address, without scope, and a port. */
export interface IpEndpoint {
  ip: string
  port: number
}

export const endpointText = ({ ip, port }: IpEndpoint): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)

/** What `endpointText` has written. */
export function endpointIn(text: string): IpEndpoint {
  const colon = text.lastIndexOf(':')
  return { ip: text.slice(0, colon).replace(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) }
}

/** `1.2.3.4:16509`, `[::1]:16509`, or undefined for another family. */
export function readIpAddress(memory: Memory): string | undefined {
  const endpoint = readEndpoint(memory)
  return endpoint && endpointText(endpoint)
}

/** `1.2.3.4`, or the first 64 bits of an IPv6 address, of an address with a port as `readIpAddress` writes it. */
export function networkOf(endpoint: string): string {
  const [, ipv6] = /^\[([^\]%]*)/.exec(endpoint) ?? []
  if (ipv6 === undefined) return endpoint.slice(0, endpoint.lastIndexOf(':'))
  const groups = ipv6Groups(ipv6).slice(0, 4)
  return `${groups.map(group => group.toString(16)).join(':')}::/64`
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

function readEndpoint({ bytes }: Memory): IpEndpoint | undefined {
  const family = bytes.readUInt16LE(0)
  const port = bytes.readUInt16BE(2)
  if (family === AF_INET) return { ip: bytes.subarray(4, 8).join('.'), port }
  if (family !== AF_INET6) return undefined
  return { ip: ipv6Text(bytes.subarray(8, 24)), port }
}

/** The 16 bytes of an IPv6 address, in its shortest form; of an IPv4 address that is mapped into IPv6, as such. */
export function ipv6Text(bytes: Buffer): string {
  // A client of IPv4, on a socket that systemd has made for both.
  if (bytes.subarray(0, 12).equals(MAPPED)) return bytes.subarray(12, 16).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16))
  return new net.SocketAddress({ family: 'ipv6', address: groups.join(':') }).address
}

/** A numeric address, without scope, in the form in which all are written here. */
export const ipText = (ip: string): string =>
  net.isIPv4(ip) ? ip : ipv6Text(Buffer.from(ipv6Groups(ip).flatMap(group => [group >> 8, group & 255])))

function ipv6Groups(address: string): number[] {
  // The parser writes the last two groups of a mapped address in dots.
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    [(+a << 8) | +b, (+c << 8) | +d].map(group => group.toString(16)).join(':')
  )
  const [head = '', tail] = plain.split('::')
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map(group => parseInt(group, 16)))
  const left = groups(head)
  const right = groups(tail ?? '')
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

const own = new Memory(ADDRESS_BYTES + 6)

/** Address of one end of a TCP connection, or undefined for another kind of socket, or one that is gone. */
export function endpoint(fd: number, which: 'local' | 'peer'): IpEndpoint | undefined {
  const lengthAt = ADDRESS_BYTES + 2
  own.bytes.writeUInt32LE(ADDRESS_BYTES, lengthAt)
  const get = which === 'local' ? getsockname : getpeername
  return get(fd, own.address, own.address + lengthAt) === 0 ? readEndpoint(own) : undefined
}

/** The path of a UNIX socket; `@` begins an abstract name. Undefined for another kind of socket, and for one without a name. */
export function unixPath(fd: number): string | undefined {
  const lengthAt = ADDRESS_BYTES + 2
  own.bytes.writeUInt32LE(ADDRESS_BYTES, lengthAt)
  if (getsockname(fd, own.address, own.address + lengthAt) !== 0 || own.bytes.readUInt16LE(0) !== AF_UNIX) return undefined
  const name = own.bytes.subarray(2, own.bytes.readUInt32LE(lengthAt))
  if (name.length === 0) return undefined
  return name[0] === 0 ? `@${name.toString('utf8', 1)}` : name.toString('utf8').replace(/\0+$/, '')
}
