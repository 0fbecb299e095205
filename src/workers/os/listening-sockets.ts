import { lchownSync } from 'node:fs'
import { ADDRESS_BYTES, endpointText, writeIpAddress, writeUnixAddress } from './address.js'
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  bind,
  close,
  EADDRINUSE,
  errno,
  errorText,
  F_GETFL,
  F_SETFL,
  fcntl,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  listen,
  Memory,
  readOption,
  setIntOption,
  SHUT_RD,
  shutdown,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET,
  TCP_INFO,
  TCP_NODELAY,
  umask
} from './libc.js'
import { removeDead, type Occupant } from './occupant.js'
import { fileId, removeIf, sameFile } from './own-file.js'

/** A socket that could not be made. */
export class ListenError extends Error {
  override name = 'ListenError'
  constructor(
    message: string,
    readonly errno: number
  ) {
    super(message)
  }
}

/** A bound socket with a backlog. */
export interface ListeningSocket {
  readonly fd: number
  /** The path, or `address:port`. */
  readonly place: string
  /** Another process has made it, and goes on listening when we do not. */
  readonly shared: boolean
  /**
   * A UNIX socket's own file, and no other that may be in its place by now. To be called while the descriptor is still
   * open, as long as which the file's number is not given to another.
   */
  removeFile(): void
}

/** Two that start at once in one place come to an end with this. */
const MAX_TRIES = 5

const address = new Memory(ADDRESS_BYTES)

/**
 * Makes a UNIX socket with exactly these permission bits. Of what stands in its place only a dead socket's file is
 * removed. Throws ListenError.
 */
export function listenUnix(path: string, mode: number, group: number | undefined, backlog: number): ListeningSocket {
  if (!fitsUnixAddress(path)) throw pathTooLong(path)
  let occupant: Occupant = { kind: 'nothing' }
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const fd = newSocket(AF_UNIX)
    try {
      if (bindUnix(fd, path, mode)) {
        const made = finishUnix(fd, path, group, backlog)
        if (made !== undefined) return made
      }
      occupant = removeDead(path)
    } catch (error) {
      close(fd)
      if (error instanceof ListenError) throw error
      throw cannotBind(path, (error as Error).message)
    }
    close(fd)
    if (occupant.kind === 'obstacle') throw cannotBind(path, occupant.why)
    if (occupant.kind === 'listener') break
  }
  throw cannotBind(path, errorText(EADDRINUSE), EADDRINUSE)
}

/** Whether a path, or an abstract name that begins with `@`, can be a socket's. */
export const fitsUnixAddress = (path: string): boolean => writeUnixAddress(address, path) > 0

export const pathTooLong = (path: string): ListenError => new ListenError(`Path ${path} too long for unix socket`, 0)

export const cannotBind = (path: string, why: string, code = 0): ListenError =>
  new ListenError(`Failed to bind socket to '${path}': ${why}`, code)

/** False if something is there already. */
function bindUnix(fd: number, path: string, mode: number): boolean {
  const length = writeUnixAddress(address, path)
  const before = umask(~mode & 0o777)
  const bound = bind(fd, address.address, length)
  const code = errno()
  umask(before)
  if (bound === 0) return true
  if (code === EADDRINUSE) return false
  throw cannotBind(path, errorText(code), code)
}

/** Undefined if another process has put a socket of its own in the place of this one, which was not listening yet. */
function finishUnix(fd: number, path: string, group: number | undefined, backlog: number): ListeningSocket | undefined {
  if (path.startsWith('@')) {
    startListening(fd, path, backlog)
    return { fd, place: path, shared: false, removeFile: () => undefined }
  }
  const id = fileId(path)
  if (id === undefined) return undefined
  const removeFile = (): void => void removeIf(path, id)
  try {
    // Not through a link, should there be one in its place by now.
    if (group !== undefined) lchownSync(path, process.geteuid!(), group)
    startListening(fd, path, backlog)
  } catch (error) {
    removeFile()
    if (error instanceof ListenError) throw error
    throw new ListenError(`Cannot set group of socket '${path}': ${(error as Error).message}`, 0)
  }
  return sameFile(fileId(path), id) ? { fd, place: path, shared: false, removeFile } : undefined
}

/** Binds one numeric address. IPv6 sockets take IPv6 only. Throws ListenError. */
export function listenTcp(ip: string, port: number, backlog: number): ListeningSocket {
  const ipv6 = ip.includes(':')
  const fd = newSocket(ipv6 ? AF_INET6 : AF_INET)
  try {
    setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    // Accepted sockets inherit it.
    setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    if (ipv6) setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    const place = endpointText({ ip, port })
    const length = writeIpAddress(address, ip, port)
    if (length === 0 || bind(fd, address.address, length) !== 0) {
      const code = length === 0 ? 0 : errno()
      throw new ListenError(`Unable to bind to port ${port} of ${ip}: ${errorText(code)}`, code)
    }
    startListening(fd, place, backlog)
    return { fd, place, shared: false, removeFile: () => undefined }
  } catch (error) {
    close(fd)
    throw error
  }
}

/**
 * Takes up a socket that another process has made, which keeps it. What we would set on one of our own is set here too,
 * as far as it is not the other's business. Throws ListenError.
 */
export function takeUp(fd: number, place: string, backlog: number): ListeningSocket {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | SOCK_NONBLOCK)
  // Accepted sockets inherit it; UNIX sockets have no such thing.
  setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
  startListening(fd, place, backlog)
  return { fd, place, shared: true, removeFile: () => undefined }
}

/** Of TCP_INFO: of a socket that listens, connections that wait to be accepted, and how many may. */
const WAITING_AT = 24
const MOST_WAITING_AT = 28

/** Connections that wait to be accepted, and how many may. Undefined where the kernel does not tell, as of UNIX sockets. */
export function queueOf(fd: number): { waiting: number; limit: number } | undefined {
  const info = readOption(fd, IPPROTO_TCP, TCP_INFO)
  if (info === undefined || info.length < MOST_WAITING_AT + 4) return undefined
  return { waiting: info.readUInt32LE(WAITING_AT), limit: info.readUInt32LE(MOST_WAITING_AT) }
}

/** Gives up its address, but for `listenAgain`. Whoever waits in the backlog is cut off. */
export function stopListening({ fd }: ListeningSocket): void {
  shutdown(fd, SHUT_RD)
}

/** Also for one that listens, which may have another backlog then. Throws ListenError. */
export function listenAgain({ fd, place }: ListeningSocket, backlog: number): void {
  startListening(fd, place, backlog)
}

function newSocket(family: number): number {
  const fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd >= 0) return fd
  throw new ListenError(`Failed to create socket: ${errorText(errno())}`, errno())
}

function startListening(fd: number, place: string, backlog: number): void {
  if (listen(fd, backlog) === 0) return
  const code = errno()
  throw new ListenError(`Failed to listen on '${place}': ${errorText(code)}`, code)
}
