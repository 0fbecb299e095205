import { HEADER_BYTES } from '../../protocol/header.js'
import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'
import { MAX_JOINED_ARGUMENT_BYTES } from './joined-reads.js'

/** Calls are seldom longer than a few hundred bytes, and a shared connection has only a few out. */
const ROOM_BYTES = HEADER_BYTES + MAX_JOINED_ARGUMENT_BYTES

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
  /** Of the calls that others can join, by what they ask: the serials that the daemon is to know. */
  #joinable: Map<string, number> | undefined

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

  /** The call that was added last can be joined until it leaves. It is not too long to wait here. */
  offer(question: string, serial: number): void {
    this.#joinable ??= new Map()
    this.#joinable.set(question, serial)
  }

  /** The serial of the call that asks this and has not left; undefined if there is none. */
  offered(question: string): number | undefined {
    return this.#joinable?.get(question)
  }

  /** What is there leaves. */
  goOn(): void {
    const length = this.#length
    this.#length = 0
    this.#joinable = undefined
    if (length > 0) this.session.sendNow(this.#bytes!, 0, length)
  }
}
