import { isIPv4 } from 'node:net'

/** Headers of the PROXY protocol, written by hand. */

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

export interface Way {
  from: string
  fromPort?: number
  to?: string
  toPort?: number
}

export function v1({ from, fromPort = 4711, to = isIPv4(from) ? '192.0.2.1' : '2001:db8::1', toPort = 16509 }: Way): Buffer {
  return Buffer.from(`PROXY ${isIPv4(from) ? 'TCP4' : 'TCP6'} ${from} ${to} ${fromPort} ${toPort}\r\n`)
}

/** One value behind the addresses. */
export const tlv = (type: number, value: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value])

/** What HAProxy says of TLS: flags, what verifying came to, and more values. */
export function sslValue(flags: number, verify: number, ...values: Uint8Array[]): Buffer {
  const head = Buffer.alloc(5)
  head[0] = flags
  head.writeUInt32BE(verify, 1)
  return tlv(0x20, Buffer.concat([head, ...values]))
}

/** `command`: 0 LOCAL, 1 PROXY; `family`: as on the wire. */
export function v2Raw(command: number, family: number, rest: Uint8Array): Buffer {
  const head = Buffer.from([...SIGNATURE, 0x20 | command, family, rest.length >> 8, rest.length & 255])
  return Buffer.concat([head, rest])
}

export function v2({ from, fromPort = 4711, toPort = 16509 }: Way, ...values: Uint8Array[]): Buffer {
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(fromPort, 0)
  ports.writeUInt16BE(toPort, 2)
  const [family, source, target] = isIPv4(from)
    ? [0x11, Buffer.from(from.split('.').map(Number)), Buffer.from([192, 0, 2, 1])]
    : [0x21, ipv6Bytes(from), ipv6Bytes('2001:db8::1')]
  return v2Raw(1, family, Buffer.concat([source, target, ports, ...values]))
}

export const local = (rest: Uint8Array = Buffer.alloc(0)): Buffer => v2Raw(0, 0, rest)

function ipv6Bytes(ip: string): Buffer {
  const [head = '', tail = ''] = ip.split('::')
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map(group => parseInt(group, 16)))
  const [left, right] = [groups(head), groups(tail)]
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
  return Buffer.from(all.flatMap(group => [group >> 8, group & 255]))
}
