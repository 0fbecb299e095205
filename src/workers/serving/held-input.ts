import type { FrameReader } from '../../protocol/frame-reader.js'
import type { FrameInput } from '../framing/frame-input.js'

/** Why a peer is not read for now. */
export type Hold = 'busy' | 'congested'

/** What a session may do with what comes from its peer. */
export interface LinkInput {
  readonly reader: FrameReader
  /** The peer is not read for now. */
  readonly held: boolean
  /** No more frames, until `release`: those that have come wait, and nothing more is read. Callable from the sink. */
  hold(why: Hold): void
  release(why: Hold): void
  /** A frame of `bytes` bytes has been served: a connection that has had its share of the turn waits for the next. */
  spend(bytes: number): void
}

/** Frames from one peer, which can be held up for several reasons at once. */
export class HeldInput implements LinkInput {
  readonly #holds = new Set<Hold>()

  constructor(
    readonly frames: FrameInput,
    /** Is called when the peer is not read any more. */
    readonly onHold: () => void
  ) {}

  get reader(): FrameReader {
    return this.frames.reader
  }

  get held(): boolean {
    return this.#holds.size > 0
  }

  has(why: Hold): boolean {
    return this.#holds.has(why)
  }

  hold(why: Hold): void {
    if (!this.held) this.frames.hold()
    this.#holds.add(why)
    this.onHold()
  }

  release(why: Hold): void {
    if (this.#holds.delete(why) && !this.held) this.frames.release()
  }

  spend(bytes: number): void {
    this.frames.spend(bytes)
  }
}
