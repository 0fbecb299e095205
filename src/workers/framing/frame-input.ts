import { FrameReader, type FrameSink } from '../../protocol/frame-reader.js'
import { HEADER_BYTES } from '../../protocol/header.js'
import type { Closable } from '../base/clock.js'
import type { ByteSource } from '../transport/transport.js'
import type { Turns, Unfinished } from '../thread/turns.js'

/** Bytes of a collected frame that cost about as much to look into as a small frame does. */
const BYTES_A_UNIT = 4096

export interface FrameInputOwner extends FrameSink {
  readonly session: Closable
  /** The peer sends nothing more, and all that it sent has been judged. */
  inputEnded(): void
  /** Frames have been judged. `all`: nothing that has come is left for a later turn. */
  judged(all: boolean): void
}

/**
 * What comes from one peer, cut into frames in bounded turns. When the owner wants no more for now, or this turn's share
 * of the thread's time is used up, the rest of the chunk is kept and the peer is not read until it is through.
 */
export class FrameInput implements Unfinished {
  readonly reader: FrameReader
  readonly #owner: FrameInputOwner
  readonly #transport: ByteSource
  readonly #turns: Turns
  #held = false
  /** What is left of the last chunk, from `#at` on. */
  #rest: Buffer | undefined
  #at = 0
  /** Nothing comes after the rest. */
  #over = false
  /** Units that are left in the turn of that number. */
  #units = 0
  #turn = -1

  constructor(owner: FrameInputOwner, transport: ByteSource, turns: Turns) {
    this.reader = new FrameReader(owner)
    this.#owner = owner
    this.#transport = transport
    this.#turns = turns
  }

  get session(): Closable {
    return this.#owner.session
  }

  /** Bytes of memory that wait here: of a frame that is being collected, and of a chunk that is not through. */
  get keptBytes(): number {
    return this.reader.keptBytes + (this.#rest?.length ?? 0)
  }

  /** Whether some of what the peer has sent is not judged, or is a frame whose rest has not come. */
  get isBehind(): boolean {
    return this.#rest !== undefined || this.reader.unfinished || this.#transport.hasUnread
  }

  received(bytes: Buffer, from: number, to: number): void {
    if (this.#rest !== undefined) return this.#keep(bytes, from, to)
    const at = this.#mayGoOn() ? this.reader.push(bytes, from, to) : from
    if (at < to) this.#keep(bytes, at, to)
    this.#owner.judged(at === to)
  }

  ended(): void {
    this.#over = true
    if (this.#rest === undefined) this.#owner.inputEnded()
  }

  /** A frame of `bytes` bytes costs more than being passed on. To be called from the sink. */
  spend(bytes = 0): void {
    const units = 1 + Math.floor(bytes / BYTES_A_UNIT)
    this.#turns.spent(units)
    this.#units -= units
    if (this.#units <= 0) this.reader.yield()
  }

  /** Takes no more, not even of the chunk in hand, until `release`. */
  hold(): void {
    this.#held = true
    this.reader.yield()
    this.#transport.pause()
  }

  release(): void {
    this.#held = false
    if (this.#rest === undefined) this.#transport.resume()
    else this.#later()
  }

  stop(): void {
    this.reader.stop()
    this.#rest = undefined
  }

  goOn(): void {
    const rest = this.#rest
    if (this.#held || rest === undefined) return
    const at = this.#mayGoOn() ? this.reader.push(rest, this.#at, rest.length) : this.#at
    // It may have been stopped.
    if (this.#rest === undefined) return
    this.#at = at
    const all = at === rest.length
    if (all) this.#rest = undefined
    else this.#later()
    this.#owner.judged(all)
    if (!all || this.#transport.closed) return
    if (this.#over) this.#owner.inputEnded()
    else if (!this.#held) this.#transport.resume()
  }

  /** One read may come in several parts, and all of them are of one turn. */
  #mayGoOn(): boolean {
    const { number, share } = this.#turns
    if (number !== this.#turn) {
      this.#turn = number
      this.#units = share
    }
    return this.#units > 0
  }

  #later(): void {
    if (!this.#held) this.#turns.later(this)
  }

  /**
   * Behind what is there: what lies above a socket may have more to deliver although it is paused, up to the end of one
   * read. With room for a header before it, which a reader that splits frames wants.
   */
  #keep(bytes: Buffer, from: number, to: number): void {
    const before = this.#rest?.subarray(this.#at)
    const kept = before?.length ?? 0
    const rest = Buffer.allocUnsafeSlow(HEADER_BYTES + kept + to - from)
    before?.copy(rest, HEADER_BYTES)
    bytes.copy(rest, HEADER_BYTES + kept, from, to)
    this.#rest = rest
    this.#at = HEADER_BYTES
    if (before !== undefined) return
    this.#transport.pause()
    this.#later()
  }
}
