import { HEADER_BYTES, frameLength, readHeader } from '#protocol/header.js'
import type { LossReason, Transport, TransportHandler } from '#workers/transport/transport.js'
import type { Frame } from './frame-socket.js'

/** A transport whose peer is the test: what is sent is kept as frames, and what comes is given by hand. */
export class MemoryTransport implements Transport {
  readonly sender = undefined
  readonly frames: Frame[] = []
  /** Calls of `send`. */
  writes = 0
  paused = false
  closed = false
  hasUnread = false
  bytesIn = 0
  bytesOut = 0
  ended = false
  endExpected = false
  /** Bytes that the peer is to be slow with: `send` says that it takes no more. */
  slow = false
  #bytes = Buffer.alloc(0)

  constructor(public handler: TransportHandler) {}

  get pending(): number {
    return this.slow ? 1 : 0
  }

  get spliceTarget(): undefined {
    return undefined
  }

  send(bytes: Buffer, from: number, to: number): boolean {
    if (this.closed) return true
    this.writes++
    this.bytesOut += to - from
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(from, to)])
    while (this.#bytes.length >= HEADER_BYTES && this.#bytes.length >= frameLength(this.#bytes, 0)) {
      const length = frameLength(this.#bytes, 0)
      const frame = this.#bytes.subarray(0, length)
      this.#bytes = this.#bytes.subarray(length)
      this.frames.push({ ...readHeader(frame), payload: frame.subarray(HEADER_BYTES), bytes: frame })
    }
    return !this.slow
  }

  /** Bytes that have been sent and are no whole frame yet. */
  get partial(): number {
    return this.#bytes.length
  }

  sendDescriptors(): boolean {
    throw new Error('descriptors do not travel in memory')
  }

  readAtMost(): void {}

  expectEnd(): void {
    this.endExpected = true
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  end(): void {
    this.ended = true
    if (!this.slow) this.lose(0)
  }

  destroy(): void {
    this.closed = true
  }

  // The peer

  /** Bytes come, in pieces of at most `size`, each with the room before it that readers may want. */
  receive(bytes: Buffer, size = Infinity): void {
    for (let at = 0; at < bytes.length && !this.closed; at += size) {
      const piece = bytes.subarray(at, Math.min(bytes.length, at + size))
      this.bytesIn += piece.length
      this.handler.received(Buffer.concat([Buffer.alloc(HEADER_BYTES), piece]), HEADER_BYTES, HEADER_BYTES + piece.length)
    }
  }

  /** The peer takes all that it was too slow for. */
  drain(): void {
    this.slow = false
    if (this.ended) this.lose(0)
    else this.handler.drained()
  }

  lose(errno: number): void {
    if (this.closed) return
    this.closed = true
    this.handler.lost({ errno } satisfies LossReason)
  }

  /** The frames since the last time. */
  take(): Frame[] {
    return this.frames.splice(0)
  }
}
