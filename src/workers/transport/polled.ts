import { HEADER_BYTES } from '../../protocol/header.js'
import { shutDown } from '../os/foreign-close.js'
import {
  EAGAIN,
  ECONNRESET,
  EINTR,
  EMFILE,
  errno,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  send,
  sendBytes
} from '../os/libc.js'
import { hasUnread } from '../os/peek.js'
import { EDGE, FAILED, HUNG_UP, PEER_CLOSED, READABLE, WRITABLE, type Pollable } from '../os/poller.js'
import { descriptorsMissed, lookAhead, receive, sendDescriptor } from './descriptors.js'
import { READ_AT, READ_BYTES, type ThreadIo } from './thread-io.js'
import type { SplicePath, Transport, TransportHandler } from './transport.js'

const SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL

export interface PolledOptions {
  /** A UNIX socket over which descriptors come and go: by whose number those are counted that come. */
  sender?: number | undefined
  /** The peer is a driver daemon: it passes no descriptor of others before it was given one. */
  daemon?: boolean
}

/** Less is read and written: that costs no more. */
const LEAST_MOVED_BYTES = 16 * 1024

const arrived: number[] = []

/**
 * A plain TCP or UNIX socket, served by the thread's poller with one read a turn.
 *
 * It is told once that there is something to read: a read that comes back with less than it had room for has taken all
 * there was, and whatever comes later is told again. So the kernel need not look at the socket a second time after each
 * message. Two things would be missed, and are asked for anew: what a full read has left, and the end of what a peer
 * sends if it had come before the last of its data was read. Where descriptors travel a read stops at each of them
 * too; those sockets are told for as long as something is there.
 *
 * Of long frames that nobody needs to see, all but the header can be moved on within the kernel (`SplicePath`).
 */
export class PolledTransport implements Transport, Pollable {
  readonly sender: number | undefined
  readonly #daemon: boolean
  handler: TransportHandler
  readonly #io: ThreadIo
  readonly #fd: number
  /** Undefined while it is out of the poller's sight, until `resume`: see `#hungUp`. */
  #slot: number | undefined
  #most = READ_BYTES
  /** Something that was unread could be a descriptor. */
  #mayHold: boolean
  /** Not read until its sender's descriptors have been closed. */
  #held = false
  #interest = READABLE
  #closed = false
  /** Reading is over for good: the peer sends nothing more. */
  #inputOver = false
  /** Reading is over for good: `end` was called. */
  #ending = false
  /** Once the peer has hung up, what it sent before is not read any more. */
  #endExpected = false
  /** What the kernel did not take, oldest first: copies of bytes, and descriptors. `#sent` bytes of the first are out. */
  #queue: (Buffer | number)[] | undefined
  #sent = 0
  #pending = 0
  #bytesIn = 0
  #bytesOut = 0

  /** Takes `fd` over, which must be non-blocking and in the ledger; it is closed with the transport. */
  constructor(io: ThreadIo, fd: number, handler: TransportHandler, options: PolledOptions = {}) {
    this.sender = options.sender
    this.#daemon = options.daemon ?? false
    this.#mayHold = this.sender !== undefined && !this.#daemon
    this.#io = io
    this.#fd = fd
    this.handler = handler
    this.#slot = this.#watch()
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

  /** The descriptor that bytes may be spliced into; undefined while others go first, or for good. */
  get spliceTarget(): number | undefined {
    return this.#closed || this.#pending > 0 ? undefined : this.#fd
  }

  send(bytes: Buffer, from: number, to: number): boolean {
    if (this.#closed) return true
    this.#bytesOut += to - from
    if (this.#pending > 0) {
      this.#enqueue(bytes, from, to)
      return false
    }
    const shared = this.#io.buffer
    const count =
      bytes === shared.bytes
        ? send(this.#fd, shared.address + from, to - from, SEND_FLAGS)
        : sendBytes(this.#fd, bytes.subarray(from, to), to - from, SEND_FLAGS)
    if (count === to - from) return true
    // A failed connection is found out, with its reason, by the next read.
    if (count < 0 && errno() !== EAGAIN && errno() !== EINTR) return true
    this.#enqueue(bytes, from + Math.max(count, 0), to)
    this.#want(this.#interest | WRITABLE)
    return false
  }

  sendDescriptors(descriptors: readonly number[]): boolean {
    let taken = true
    this.#mayHold = true
    this.#bytesOut += descriptors.length
    for (const descriptor of descriptors) {
      if (this.#pending === 0 && !this.#closed) taken = this.#sendDescriptor(descriptor)
      else taken = this.#keepDescriptor(descriptor)
    }
    return taken
  }

  readAtMost(bytes: number): void {
    this.#most = Math.min(bytes, READ_BYTES)
  }

  pause(): void {
    if (!this.#closed) this.#want(this.#interest & ~READABLE)
  }

  resume(): void {
    if (this.#closed || this.#ending || this.#inputOver) return
    if (this.#slot === undefined) {
      this.#interest = READABLE
      this.#slot = this.#watch()
    } else this.#want(this.#interest | READABLE)
  }

  /** The peer is asked to hang up, and nothing that it still sends matters then. */
  expectEnd(): void {
    this.#endExpected = true
  }

  end(): void {
    if (this.#closed) return
    this.#ending = true
    if (this.#pending === 0) this.#lose(0)
    else this.#want(WRITABLE)
  }

  destroy(): void {
    if (this.#closed) return
    this.#closed = true
    const { closer, ledger, poller } = this.#io
    for (const item of this.#queue ?? []) if (typeof item === 'number') closer.close(item)
    this.#queue = undefined
    this.#pending = 0
    if (this.#mayHold && shutDown(this.#fd)) {
      if (this.#slot !== undefined) poller.remove(this.#slot, this.#fd)
      return closer.closeLater(this.#fd, this.sender)
    }
    if (this.#slot !== undefined) poller.forget(this.#slot)
    ledger.close(this.#fd)
  }

  ready(events: number): void {
    try {
      if (events & WRITABLE) this.#writeQueued()
      if (this.#closed) return
      if (this.#endExpected && events & HUNG_UP) return this.#lose(0)
      // What is told may be older than what is wanted: it may have been resumed by what another has told meanwhile.
      const reads = this.#interest & READABLE && !this.#held
      if (reads && events & (READABLE | FAILED | HUNG_UP)) this.#read(events)
      else if (events & (FAILED | HUNG_UP)) this.#hungUp()
    } catch (error) {
      this.#io.failed(this.handler.session, error)
    }
  }

  #read(events: number): void {
    const most = this.#most
    if (this.sender !== undefined) {
      this.#take(this.#io.closer.hasRoom(this.sender) ? most : Math.min(most, this.#bytesAlone()), events)
      return
    }
    const { splicePath } = this.handler
    if (splicePath !== undefined) return this.#readPast(splicePath, events)
    const count = this.#take(most, events)
    if (count === most || (count > 0 && events & PEER_CLOSED)) this.#askAgain()
  }

  /** One read of at most `most` bytes. Returns how many came; less than 1 if none did. */
  #take(most: number, events: number): number {
    if (most === 0) return 0
    const { bytes, address } = this.#io.buffer
    const plain = this.sender === undefined
    const count = plain ? recv(this.#fd, address + READ_AT, most, MSG_DONTWAIT) : this.#receive(most)
    if (this.#closed) return 0
    if (count > 0) {
      this.#bytesIn += count
      this.handler.received(bytes, READ_AT, READ_AT + count)
      return count
    }
    if (count === 0) this.#noMore(events)
    else {
      const code = errno()
      if (code === EINTR) this.#askAgain()
      else if (code !== EAGAIN) this.#lose(code)
    }
    return count
  }

  /**
   * Between frames the next header and no more, then what it announces is moved on unseen. The header itself never is:
   * what stands in a pipe may still be the sender's own memory, and change after it was looked at.
   */
  #readPast(path: SplicePath, events: number): void {
    if (path.left < LEAST_MOVED_BYTES) {
      const atHeader = path.left === 0
      if (this.#take(atHeader ? HEADER_BYTES : path.left, events) <= 0) return
      if (atHeader && path.left < LEAST_MOVED_BYTES) path.over()
    }
    if (path.left >= LEAST_MOVED_BYTES && this.#interest & READABLE) this.#move(path)
    this.#askAgain()
  }

  #move(path: SplicePath): void {
    const { buffer, pipe } = this.#io
    const { left, to } = path
    if (to === undefined) return path.over()
    const count = pipe.move(this.#fd, to, Math.min(left, READ_BYTES))
    if (count > 0) {
      this.#bytesIn += count
      return path.moved(count, buffer.bytes, READ_AT, READ_AT + pipe.fetch(buffer.address + READ_AT))
    }
    // The end, and whatever else is the matter, is told by an ordinary read.
    if (count === 0 || errno() !== EAGAIN) path.over()
  }

  /** Descriptors that find no room end the connection, and so do too many of one sender's. */
  #receive(most: number): number {
    const { ledger, owner, closer, buffer } = this.#io
    arrived.length = 0
    const count = receive(this.#fd, buffer.address + READ_AT, most, arrived, ledger, owner)
    if (count < 0) return count
    const missed = descriptorsMissed()
    if (arrived.length === 0 && !missed) return count
    this.#mayHold = true
    const descriptors = arrived.slice()
    const inLimits = closer.received(descriptors, this.sender!)
    this.handler.receivedDescriptors(descriptors)
    if ((missed || !inLimits) && !this.#closed) this.#lose(EMFILE)
    return count
  }

  /**
   * How many bytes can be read without a descriptor. Where the next that can be read brings some, it is not read before
   * there is room for them, and nothing is to be read now.
   */
  #bytesAlone(): number {
    const { closer, buffer } = this.#io
    const count = lookAhead(this.#fd, buffer.address + READ_AT, READ_BYTES)
    // The end of the connection and its failures are told by an ordinary read.
    if (count <= 0) return READ_BYTES
    if (!descriptorsMissed()) return count
    this.#held = true
    this.#askAgain()
    closer.whenRoom(this.sender, () => {
      this.#held = false
      if (this.#slot !== undefined) this.#askAgain()
      else if (this.#interest & READABLE) this.resume()
    })
    return 0
  }

  #sendDescriptor(descriptor: number): boolean {
    const again = sendDescriptor(this.#fd, descriptor) < 0 && [EAGAIN, EINTR].includes(errno())
    if (again) return this.#keepDescriptor(descriptor)
    this.#io.closer.close(descriptor)
    return true
  }

  #keepDescriptor(descriptor: number): boolean {
    if (this.#closed) {
      this.#io.closer.close(descriptor)
      return true
    }
    this.#queue ??= []
    this.#queue.push(descriptor)
    this.#pending++
    this.#want(this.#interest | WRITABLE)
    return false
  }

  #noMore(events: number): void {
    if (events & (HUNG_UP | FAILED)) return this.#lose(0)
    this.#inputOver = true
    this.handler.ended()
    // Mostly it is closed by now.
    if (!this.#closed) this.#want(this.#interest & ~READABLE)
  }

  /** The peer is gone while nothing is read here; epoll reports that over and over, wanted or not. */
  #hungUp(): void {
    // What a daemon had sent before it hung up is still delivered after a pause.
    if (!this.#daemon || this.#ending) return this.#lose(ECONNRESET)
    this.#io.poller.remove(this.#slot!, this.#fd)
    this.#slot = undefined
  }

  #lose(code: number): void {
    const { handler } = this
    this.destroy()
    handler.lost({ errno: code })
  }

  /** What the poller is asked for. */
  get #watched(): number {
    if (this.sender === undefined) return this.#interest | EDGE | PEER_CLOSED
    return this.#held ? this.#interest & ~READABLE : this.#interest
  }

  #watch(): number {
    return this.#io.poller.add(this.#fd, this.#watched, this)
  }

  #want(interest: number): void {
    if (interest === this.#interest) return
    this.#interest = interest
    this.#askAgain()
  }

  /** Whatever it is ready for now is told, even if it was told before. */
  #askAgain(): void {
    if (!this.#closed && this.#slot !== undefined) this.#io.poller.change(this.#slot, this.#fd, this.#watched)
  }

  #enqueue(bytes: Buffer, from: number, to: number): void {
    const copy = Buffer.allocUnsafe(to - from)
    bytes.copy(copy, 0, from, to)
    this.#queue ??= []
    this.#queue.push(copy)
    this.#pending += to - from
  }

  #writeQueued(): void {
    const queue = this.#queue
    while (queue !== undefined && queue.length > 0) {
      const first = queue[0]!
      if (typeof first === 'number') {
        if (sendDescriptor(this.#fd, first) < 0) {
          if (errno() === EAGAIN || errno() === EINTR) return
          return this.#lose(errno())
        }
        this.#io.closer.close(first)
        this.#pending--
        queue.shift()
        continue
      }
      const left = first.length - this.#sent
      const count = sendBytes(this.#fd, this.#sent === 0 ? first : first.subarray(this.#sent), left, SEND_FLAGS)
      if (count < 0) {
        if (errno() === EAGAIN || errno() === EINTR) return
        return this.#lose(errno())
      }
      this.#pending -= count
      if (count < left) {
        this.#sent += count
        return
      }
      this.#sent = 0
      queue.shift()
    }
    this.#queue = undefined
    if (this.#ending) return this.#lose(0)
    this.#want(this.#interest & ~WRITABLE)
    this.handler.drained()
  }
}
