import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { ioctl, Memory } from '#workers/os/libc.js'

const FIONREAD = 0x541b
const SIOCOUTQ = 0x5411
const count = new Memory(4)

/** Bytes that have come and that nobody has read, Node neither. */
export const unreadBytes = (socket: Socket): number => ask(socket, FIONREAD)

/** Bytes that the process on the other side, on this machine, has not read yet; of UNIX sockets, what they take in memory. */
export function bytesOnTheWay(socket: Socket): number {
  return socket.writableLength + ask(socket, SIOCOUTQ) + (socket.localPort === undefined ? 0 : waitingAtPeer(socket))
}

function ask(socket: Socket, request: number): number {
  const { fd } = (socket as unknown as { _handle: { fd: number } | null })._handle ?? { fd: -1 }
  if (ioctl(fd, request, count.address) !== 0) return 0
  return count.bytes.readInt32LE(0)
}

/** The peer of a TCP connection has acknowledged what waits in its kernel. */
function waitingAtPeer({ localPort, remotePort }: Socket): number {
  const [peer, own] = [remotePort, localPort].map(port => port!.toString(16).toUpperCase().padStart(4, '0'))
  const row = new RegExp(`: [0-9A-F]+:${peer} [0-9A-F]+:${own} [0-9A-F]{2} [0-9A-F]{8}:([0-9A-F]{8}) `)
  const [, waiting = '0'] = row.exec(readFileSync('/proc/net/tcp', 'latin1')) ?? []
  return parseInt(waiting, 16)
}
