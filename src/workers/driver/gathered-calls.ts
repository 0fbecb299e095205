import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'

/** Calls are seldom longer than a few hundred bytes, and a shared connection has only a few out. */
const ROOM_BYTES = 4096

/** Where they leave. */
export interface GatheringOwner extends Closable {
  /** Bytes of whole calls. */
  sendNow(bytes: Buffer, from: number, to: number): void
}

/** Whole calls of several sessions that leave for one daemon in one piece: those of one turn. */
export class GatheredCalls implements Unfinished {
  readonly session: GatheringOwner
  readonly #turns: Turns
  /** Made for the first call. */
  #bytes: Buffer | undefined
  #length = 0

  constructor(owner: GatheringOwner, turns: Turns) {
    this.session = owner
    this.#turns = turns
  }

  add(bytes: Buffer, from: number, to: number): void {
    if (this.#length + to - from > ROOM_BYTES) this.goOn()
    if (to - from > ROOM_BYTES) return this.session.sendNow(bytes, from, to)
    if (this.#length === 0) this.#turns.atEnd(this)
    this.#bytes ??= Buffer.allocUnsafeSlow(ROOM_BYTES)
    this.#length += bytes.copy(this.#bytes, this.#length, from, to)
  }

  /** What is there leaves. */
  goOn(): void {
    const length = this.#length
    this.#length = 0
    if (length > 0) this.session.sendNow(this.#bytes!, 0, length)
  }
}
