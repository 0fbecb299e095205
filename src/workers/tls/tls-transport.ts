import { ECONNRESET } from '../os/libc.js'
import { hasUnread } from '../os/peek.js'
import { FAILED, HUNG_UP, READABLE, WRITABLE, type Pollable } from '../os/poller.js'
import { RESULT, ROOM_BYTES, type Protection, type SecureChannel } from './secure-channel.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { Transport, TransportHandler } from '../transport/transport.js'

/** A read that gave more was of long records. Short ones cost as much each: of them, there is one read a turn. */
const LONG_READ_BYTES = 24 * 1024

/** A TLS connection after its handshake, served by the thread's poller. */
export class TlsTransport implements Transport, Pollable {
  readonly sender = undefined
  handler: TransportHandler
  readonly #io: ThreadIo
  readonly #fd: number
  readonly #channel: SecureChannel
  readonly #slot: number
  #most = Infinity
  /** What is to be told of, and what is told of. They differ while reading has to wait. */
  #interest = READABLE
  #watched = READABLE
  #closed = false
  /** Reading is over for good: the peer sends nothing more. */
  #inputOver = false
  /** Reading is over for good: `end` was called. */
  #ending = false
  /** OpenSSL had to write before it could read on (an update of keys). */
  #readWaits = false
  /** Copies of what the kernel did not take, oldest first; `#sent` bytes of the first are out. */
  #queue: Buffer[] = []
  #sent = 0
  #pending = 0
  #bytesIn = 0
  #bytesOut = 0

  /** Takes over `fd`, which must be non-blocking and in the ledger, and the channel; both end with the transport. */
  constructor(io: ThreadIo, fd: number, channel: SecureChannel, handler: TransportHandler) {
    this.#io = io
    this.#fd = fd
    this.#channel = channel
    this.handler = handler
    this.#slot = io.poller.add(fd, READABLE, this)
  }

  get pending(): number {
    return this.#pending
  }

  get closed(): boolean {
    return this.#closed
  }

  get bytesIn(): number {
    return this.#bytesIn
  }

  get bytesOut(): number {
    return this.#bytesOut
  }

  get hasUnread(): boolean {
    return !this.#closed && hasUnread(this.#fd)
  }

  /** Strength of the connection's cipher, in bits: what SASL counts as its external security. */
  get cipherBits(): number {
    return this.#channel.cipherBits
  }

  get protection(): Protection {
    return this.#channel.protection
  }

  send(bytes: Buffer, from: number, to: number): boolean {
    if (this.#closed || from === to) return true
    this.#bytesOut += to - from
    if (this.#pending > 0) {
      this.#enqueue(bytes, from, to)
      return false
    }
    const shared = this.#io.buffer
    while (from < to) {
      const count =
        bytes === shared.bytes
          ? this.#channel.write(shared.address + from, to - from)
          : this.#channel.writeBytes(bytes.subarray(from, to))
      if (count > 0) from += count
      else if (count === RESULT.wantWrite) break
      // A failed connection is found out by the next read, as with plain sockets.
      else return true
    }
    if (from === to) return true
    this.#enqueue(bytes, from, to)
    this.#want(this.#interest | WRITABLE)
    return false
  }

  sendDescriptors(): boolean {
    throw new Error('descriptors cannot travel over TLS')
  }

  readAtMost(bytes: number): void {
    this.#most = bytes
  }

  pause(): void {
    if (!this.#closed) this.#want(this.#interest & ~READABLE)
  }

  resume(): void {
    if (!this.#closed && !this.#ending && !this.#inputOver) this.#want(this.#interest | READABLE)
  }

  end(): void {
    if (this.#closed) return
    this.#ending = true
    if (this.#pending === 0) this.#finish()
    else this.#want(WRITABLE)
  }

  destroy(): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue = []
    this.#pending = 0
    this.#channel.free()
    this.#io.poller.remove(this.#slot, this.#fd)
    this.#io.ledger.close(this.#fd)
  }

  ready(events: number): void {
    try {
      if (events & WRITABLE) this.#writable()
      if (this.#closed) return
      if (events & READABLE && this.#watched & READABLE) this.#read()
      else if (events & (FAILED | HUNG_UP)) this.#lose(ECONNRESET)
    } catch (error) {
      this.#io.failed(this.handler.session, error)
    }
  }

  /** Decrypts what has come into the thread's buffer, and hands all of it on at once. */
  #read(): void {
    const { bytes, address } = this.#io.buffer
    const channel = this.#channel
    let filled = 0
    let count: number
    do {
      count = channel.receive(address + filled)
      filled += count
    } while (
      count > LONG_READ_BYTES && channel.outcome === RESULT.wantRead && bytes.length - filled >= ROOM_BYTES && filled < this.#most
    )
    this.#bytesIn += filled
    if (filled > 0) this.handler.received(bytes, 0, filled)
    if (channel.outcome === RESULT.wantRead || this.#closed) return
    if (channel.outcome === RESULT.wantWrite) {
      this.#readWaits = true
      this.#want(this.#interest)
    } else if (channel.outcome === RESULT.ended) {
      this.#inputOver = true
      this.handler.ended()
      if (!this.#closed) this.#want(this.#interest & ~READABLE)
    } else this.#lose(channel.failure!.errno, channel.failure!.fault)
  }

  #writable(): void {
    if (this.#readWaits) {
      this.#readWaits = false
      this.#read()
      if (this.#closed || this.#readWaits) return
      this.#want(this.#interest)
    }
    this.#writeQueued()
  }

  #writeQueued(): void {
    const queue = this.#queue
    while (queue.length > 0) {
      const first = queue[0]!
      const count = this.#channel.writeBytes(this.#sent === 0 ? first : first.subarray(this.#sent))
      if (count === RESULT.wantWrite) return
      if (count <= 0) return this.#lose(this.#channel.failure?.errno ?? ECONNRESET)
      this.#pending -= count
      this.#sent += count
      if (this.#sent < first.length) continue
      this.#sent = 0
      queue.shift()
    }
    if (this.#ending) return this.#finish()
    const drained = this.#interest & WRITABLE
    this.#want(this.#interest & ~WRITABLE)
    if (drained) this.handler.drained()
  }

  #finish(): void {
    this.#channel.shutdown()
    this.#lose(0)
  }

  #lose(errno: number, fault?: string): void {
    const { handler } = this
    this.destroy()
    handler.lost(fault === undefined ? { errno } : { errno, fault })
  }

  #want(interest: number): void {
    this.#interest = interest
    const watched = this.#readWaits ? (interest & ~READABLE) | WRITABLE : interest
    if (watched === this.#watched) return
    this.#watched = watched
    this.#io.poller.change(this.#slot, this.#fd, watched)
  }

  #enqueue(bytes: Buffer, from: number, to: number): void {
    const copy = Buffer.allocUnsafe(to - from)
    bytes.copy(copy, 0, from, to)
    this.#queue.push(copy)
    this.#pending += to - from
  }
}
