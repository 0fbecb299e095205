import type { Closable } from '../base/clock.js'
import { FrameInput, type FrameInputOwner } from '../framing/frame-input.js'
import { PolledTransport } from '../transport/polled.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { TransportHandler } from '../transport/transport.js'
import type { Turns } from '../thread/turns.js'
import { HeldInput, type LinkInput } from './held-input.js'

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

/** The server's end of one connection, whatever carries the bytes. */
export interface Link {
  readonly input: LinkInput
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
  readonly input: HeldInput
  #queue: Buffer[] = []
  #scheduled = false
  #closing = false

  constructor(io: ThreadIo, turns: Turns, fd: number, sender: number, makeOwner: (link: Link) => LinkOwner) {
    this.#transport = new PolledTransport(io, fd, this, { sender })
    const owner = makeOwner(this)
    this.#owner = owner
    this.input = new HeldInput(new FrameInput(owner, this.#transport, turns), () => owner.inputHeld())
  }

  get session(): Closable {
    return this.#owner.session
  }

  get congested(): boolean {
    return this.input.has('congested')
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
    this.input.frames.stop()
    this.#transport.end()
  }

  /** Closes at once; the owner hears nothing more. */
  destroy(): void {
    this.#closing = true
    this.input.frames.stop()
    this.#transport.destroy()
  }

  // The transport's side.

  received(bytes: Buffer, from: number, to: number): void {
    if (this.#closing) return
    this.#owner.heard()
    this.input.frames.received(bytes, from, to)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#owner.receivedDescriptors(descriptors)
  }

  drained(): void {
    if (!this.congested) return
    this.input.release('congested')
    this.#owner.drained()
  }

  ended(): void {
    this.input.frames.ended()
  }

  lost(): void {
    this.input.frames.stop()
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
    if (this.#transport.pending > CONGESTED_BYTES) this.input.hold('congested')
  }
}
