import { ADDRESS_BYTES, readIpAddress } from './address.js'
import {
  accept4,
  close,
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EMFILE,
  ENFILE,
  errno,
  errorText,
  Memory,
  SHUT_RDWR,
  shutdown,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK
} from './libc.js'
import type { ListenerKind } from './listener-kind.js'
import type { ListeningSocket } from './listening-sockets.js'
import type { ForeignCloser } from './foreign-close.js'
import { isReset } from './peek.js'
import { READABLE, type Pollable, type Poller } from './poller.js'

/** Connections taken between two turns of the loop from one listener: a flood of one is not to keep the others waiting. */
const ACCEPT_BATCH = 16
/** Of those that come in one turn, the ones behind so many are looked at, and so many of those after one that was reset. */
const UNSEEN = 2
const WARY = 64
/** How long accepting stops when descriptors have run out. */
const EMFILE_PAUSE_MS = 5000

export interface ListenerHandler {
  /** Whether one more connection may be taken. If not, those that come wait in the backlog, until `resume`. */
  mayAccept(listener: Listener): boolean
  /** `peer`: address of a TCP client. The descriptor is non-blocking and now the handler's. */
  accepted(listener: Listener, fd: number, peer: string | undefined): void
  /** Several connections may have been accepted since the last call. */
  acceptedAll(): void
  /** Accepting failed; it is tried again. */
  trouble(listener: Listener, message: string): void
}

const address = new Memory(ADDRESS_BYTES + 6)
const LENGTH_AT = ADDRESS_BYTES + 2

/**
 * A listening socket, watched by the supervisor's poller. Not a `net.Server`: that one accepts whatever comes, and
 * virtproxyd leaves connections beyond `max_clients` in the backlog.
 */
export class Listener implements Pollable {
  readonly fd: number
  /** The path, or `address:port`. */
  readonly place: string
  readonly #slot: number
  /** The handler takes no more. */
  #paused = false
  /** There were no descriptors. */
  #exhausted = false
  /** So many more are looked at, whether they are still there. */
  #wary = 0
  #closed = false

  constructor(
    readonly kind: ListenerKind,
    readonly socket: ListeningSocket,
    readonly poller: Poller,
    readonly closer: ForeignCloser,
    readonly handler: ListenerHandler
  ) {
    this.fd = socket.fd
    this.place = socket.place
    this.#slot = poller.add(this.fd, READABLE, this)
  }

  ready(): void {
    const tcp = this.kind.transport !== 'unix'
    for (let i = 0; i < ACCEPT_BATCH; i++) {
      if (!this.handler.mayAccept(this)) {
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
      if (tcp && this.#isGone(fd, i)) close(fd)
      else this.handler.accepted(this, fd, tcp ? readIpAddress(address) : undefined)
    }
    this.handler.acceptedAll()
  }

  pause(): void {
    this.#paused = true
    this.#watch()
  }

  resume(): void {
    this.#paused = false
    this.#watch()
  }

  /** A UNIX socket's file goes with it. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    const { shared } = this.socket
    // What another process has open is not forgotten by itself.
    if (shared || this.kind.transport === 'unix') this.poller.remove(this.#slot, this.fd)
    else this.poller.forget(this.#slot)
    try {
      this.socket.removeFile()
    } catch (error) {
      this.handler.trouble(this, `cannot be removed: ${(error as Error).message}`)
    }
    if (this.kind.transport !== 'unix') return void close(this.fd)
    // Whoever stands in the backlog may have sent something already. Of a shared socket they wait for the next to accept.
    if (!shared) shutdown(this.fd, SHUT_RDWR)
    this.closer.closeLater(this.fd)
  }

  /** Connections that are reset at once come in floods. Looking costs a system call, so few are looked at before there is one. */
  #isGone(fd: number, index: number): boolean {
    if (this.#wary > 0) this.#wary--
    else if (index < UNSEEN) return false
    const gone = isReset(fd)
    if (gone) this.#wary = WARY
    return gone
  }

  #runOut(code: number): void {
    this.handler.trouble(this, `accept: ${errorText(code)}; trying again in ${EMFILE_PAUSE_MS / 1000} s`)
    this.#exhausted = true
    this.#watch()
    setTimeout(() => {
      this.#exhausted = false
      this.#watch()
    }, EMFILE_PAUSE_MS).unref()
  }

  #watch(): void {
    if (!this.#closed) this.poller.change(this.#slot, this.fd, this.#paused || this.#exhausted ? 0 : READABLE)
  }
}
