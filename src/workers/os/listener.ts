import { chownSync, unlinkSync } from 'node:fs'
import { ADDRESS_BYTES, readIpAddress, writeIpAddress, writeUnixAddress } from './address.js'
import {
  accept4,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  bind,
  close,
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EMFILE,
  ENFILE,
  errno,
  errorText,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  listen,
  Memory,
  setIntOption,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET,
  TCP_NODELAY,
  umask
} from './libc.js'
import type { AuthMethod, TransportKind } from '../settings.js'
import { READABLE, type Pollable, type Poller } from './poller.js'

/** Connections taken between two turns of the loop from one listener. */
const ACCEPT_BATCH = 64
/** How long accepting stops when descriptors have run out. */
const EMFILE_PAUSE_MS = 5000

/** A socket that could not be made. */
export class ListenError extends Error {
  constructor(
    message: string,
    readonly errno: number
  ) {
    super(message)
  }
}

export interface ListenerHandler {
  /** Whether one more connection may be taken. If not, those that come wait in the backlog, until `resume`. */
  mayAccept(): boolean
  /** `peer`: address of a TCP client. The descriptor is non-blocking and now the handler's. */
  accepted(listener: Listener, fd: number, peer: string | undefined): void
  /** Several connections may have been accepted since the last call. */
  acceptedAll(): void
  /** Accepting failed; it is tried again. */
  trouble(listener: Listener, message: string): void
}

export interface ListenerKind {
  /** For logs, and for the admin interface. */
  name: string
  transport: TransportKind
  readonly: boolean
  auth: AuthMethod
}

const address = new Memory(ADDRESS_BYTES + 6)
const LENGTH_AT = ADDRESS_BYTES + 2

/**
 * A listening socket, watched by the supervisor's poller. Not a `net.Server`: that one accepts whatever comes, and
 * virtproxyd leaves connections beyond `max_clients` in the backlog.
 */
export class Listener implements Pollable {
  readonly #slot: number
  #paused = false
  #closed = false

  constructor(
    readonly kind: ListenerKind,
    /** The path, or `address:port`. */
    readonly place: string,
    readonly fd: number,
    readonly poller: Poller,
    readonly handler: ListenerHandler
  ) {
    this.#slot = poller.add(fd, READABLE, this)
  }

  ready(): void {
    const tcp = this.kind.transport !== 'unix'
    for (let i = 0; i < ACCEPT_BATCH; i++) {
      if (!this.handler.mayAccept()) {
        this.pause()
        break
      }
      address.bytes.writeUInt32LE(ADDRESS_BYTES, LENGTH_AT)
      const at = tcp ? address.address : 0
      const fd = accept4(this.fd, at, tcp ? address.address + LENGTH_AT : 0, SOCK_NONBLOCK | SOCK_CLOEXEC)
      if (fd < 0) {
        const code = errno()
        if (code === EMFILE || code === ENFILE) this.#runOut(code)
        else if (code !== EAGAIN && code !== EINTR && code !== ECONNABORTED) {
          this.handler.trouble(this, `accept: ${errorText(code)}`)
        }
        break
      }
      this.handler.accepted(this, fd, tcp ? readIpAddress(address) : undefined)
    }
    this.handler.acceptedAll()
  }

  pause(): void {
    if (this.#paused || this.#closed) return
    this.#paused = true
    this.poller.change(this.#slot, this.fd, 0)
  }

  resume(): void {
    if (!this.#paused || this.#closed) return
    this.#paused = false
    this.poller.change(this.#slot, this.fd, READABLE)
  }

  /** A UNIX socket's file goes with it, if it was ours. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.poller.forget(this.#slot)
    close(this.fd)
    if (this.kind.transport === 'unix' && !this.place.startsWith('@')) removeSocketFile(this.place)
  }

  #runOut(code: number): void {
    this.handler.trouble(this, `accept: ${errorText(code)}; trying again in ${EMFILE_PAUSE_MS / 1000} s`)
    this.pause()
    setTimeout(() => this.resume(), EMFILE_PAUSE_MS).unref()
  }
}

/**
 * Binds a UNIX socket with exactly these permission bits. Whatever stands at its path is removed: that we are the
 * only one is seen to by the pid file. Throws ListenError.
 */
export function listenUnix(path: string, mode: number, group: number | undefined, backlog: number): number {
  const fd = newSocket(AF_UNIX)
  const length = writeUnixAddress(address, path)
  if (length === 0) throw failure(fd, `Path ${path} too long for unix socket`, 0)
  const named = !path.startsWith('@')
  if (named) removeSocketFile(path)
  const before = umask(~mode & 0o777)
  const bound = bind(fd, address.address, length)
  const code = errno()
  umask(before)
  if (bound !== 0) throw failure(fd, `Failed to bind socket to '${path}': ${errorText(code)}`, code)
  try {
    if (named && group !== undefined) chownSync(path, process.geteuid!(), group)
  } catch (error) {
    removeSocketFile(path)
    throw failure(fd, `Cannot set group of socket '${path}': ${(error as Error).message}`, 0)
  }
  return startListening(fd, path, backlog)
}

/** Binds one numeric address. IPv6 sockets take IPv6 only. Throws ListenError. */
export function listenTcp(ip: string, port: number, backlog: number): number {
  const ipv6 = ip.includes(':')
  const fd = newSocket(ipv6 ? AF_INET6 : AF_INET)
  setIntOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
  // Accepted sockets inherit it.
  setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
  if (ipv6) setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
  const length = writeIpAddress(address, ip, port)
  if (length === 0 || bind(fd, address.address, length) !== 0) {
    const code = length === 0 ? 0 : errno()
    throw failure(fd, `Unable to bind to port: ${errorText(code)}`, code)
  }
  return startListening(fd, `${ip}:${port}`, backlog)
}

function newSocket(family: number): number {
  const fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd >= 0) return fd
  throw new ListenError(`Failed to create socket: ${errorText(errno())}`, errno())
}

function startListening(fd: number, place: string, backlog: number): number {
  if (listen(fd, backlog) === 0) return fd
  const code = errno()
  throw failure(fd, `Failed to listen on '${place}': ${errorText(code)}`, code)
}

function failure(fd: number, message: string, code: number): ListenError {
  close(fd)
  return new ListenError(message, code)
}

/** What cannot be removed is in the way of binding, which then says so. */
function removeSocketFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    return
  }
}
