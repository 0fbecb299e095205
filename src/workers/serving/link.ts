import type { FrameReader } from '../../protocol/frame-reader.js'
import type { Closable } from '../base/clock.js'
import { FrameInput, type FrameInputOwner } from '../framing/frame-input.js'
import { PolledTransport, type ThreadIo } from '../transport/polled.js'
import type { TransportHandler } from '../transport/transport.js'
import type { Turns } from '../thread/turns.js'

/** What a link tells its owner, beside the frames that come. */
export interface LinkOwner extends FrameInputOwner {
  /** Something came in. */
  heard(): void
  /** Descriptors came with what is judged next. They are the owner's to close. */
  receivedDescriptors(descriptors: readonly number[]): void
  /** The peer is not read for now. */
  inputHeld(): void
  /** What was queued has left, after the link had been congested. */
  drained(): void
  /** The peer is gone. Called once, also after `close`. */
  lost(): void
}

/** Why the peer is not read for now. */
export type Hold = 'busy' | 'congested'

/** The server's end of one connection, whatever carries the bytes. */
export interface Link {
  readonly reader: FrameReader
  /** The peer is not read for now. */
  readonly held: boolean
  /** No more frames, until `release`: those that have come wait, and nothing more is read. Callable from the sink. */
  hold(why: Hold): void
  release(why: Hold): void
  /** A frame of `bytes` bytes has been served: a connection that has had its share of the turn waits for the next. */
  spend(bytes: number): void
  /** Queues a whole frame, which must not be changed afterwards. */
  send(frame: Buffer): void
  /** Queues a frame and the descriptors that follow it; they are closed when they have left. */
  sendWithDescriptors(frame: Buffer, descriptors: readonly number[]): void
  /** Closes when all that is queued has been written; nothing is read any more. */
  close(): void
  /** So much is queued that the owner should produce nothing more before `drained`. */
  readonly congested: boolean
}

/** Bytes waiting for a slow reader above which its calls are not read either. */
const CONGESTED_BYTES = 1024 * 1024
/** Frames up to this size are copied together into one write. */
const SMALL_BYTES = 4096

/** A link over a polled socket. All frames of one turn of the event loop leave with as few writes as possible. */
export class PolledLink implements Link, TransportHandler {
  readonly #transport: PolledTransport
  readonly #owner: LinkOwner
  readonly #input: FrameInput
  readonly #holds = new Set<Hold>()
  #queue: Buffer[] = []
  #scheduled = false
  #closing = false

  constructor(io: ThreadIo, turns: Turns, fd: number, sender: number, makeOwner: (link: Link) => LinkOwner) {
    this.#transport = new PolledTransport(io, fd, this, { sender })
    this.#owner = makeOwner(this)
    this.#input = new FrameInput(this.#owner, this.#transport, turns)
  }

  get session(): Closable {
    return this.#owner.session
  }

  get reader(): FrameReader {
    return this.#input.reader
  }

  get held(): boolean {
    return this.#holds.size > 0
  }

  get congested(): boolean {
    return this.#holds.has('congested')
  }

  hold(why: Hold): void {
    if (!this.held) this.#input.hold()
    this.#holds.add(why)
    this.#owner.inputHeld()
  }

  release(why: Hold): void {
    if (this.#holds.delete(why) && !this.held) this.#input.release()
  }

  spend(bytes: number): void {
    this.#input.spend(bytes)
  }

  send(frame: Buffer): void {
    if (this.#closing || this.#transport.closed) return
    this.#queue.push(frame)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#flush())
  }

  sendWithDescriptors(frame: Buffer, descriptors: readonly number[]): void {
    this.send(frame)
    this.#flush()
    this.#transport.sendDescriptors(descriptors)
  }

  close(): void {
    if (this.#closing) return
    this.#flush()
    this.#closing = true
    this.#input.stop()
    this.#transport.end()
  }

  /** Closes at once; the owner hears nothing more. */
  destroy(): void {
    this.#closing = true
    this.#input.stop()
    this.#transport.destroy()
  }

  // The transport's side.

  received(bytes: Buffer, from: number, to: number): void {
    if (this.#closing) return
    this.#owner.heard()
    this.#input.received(bytes, from, to)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#owner.receivedDescriptors(descriptors)
  }

  drained(): void {
    if (!this.congested) return
    this.release('congested')
    this.#owner.drained()
  }

  ended(): void {
    this.#input.ended()
  }

  lost(): void {
    this.#input.stop()
    this.#owner.lost()
  }

  #flush(): void {
    this.#scheduled = false
    const frames = this.#queue
    if (frames.length === 0 || this.#transport.closed) return
    this.#queue = []
    let first = 0
    while (first < frames.length) {
      let last = first
      while (last < frames.length && frames[last]!.length <= SMALL_BYTES) last++
      const bytes = last - first > 1 ? Buffer.concat(frames.slice(first, last)) : frames[first]!
      this.#transport.send(bytes, 0, bytes.length)
      first = Math.max(last, first + 1)
    }
    if (this.#transport.pending > CONGESTED_BYTES) this.hold('congested')
  }
}
