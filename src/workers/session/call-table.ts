import type { CallKind } from '../../protocol/call-kinds.js'
import type { Header } from '../../protocol/header.js'
import { MESSAGE, PROGRAM_VERSION, STATUS } from '../../protocol/header.js'

/** Words of an entry: program, procedure, serial (as a signed word: a small integer to V8), kind. */
const WORDS = 4
/** What is kept of a call's arguments, and before it how much that is. */
const HEAD_BYTES = 128
const HEAD_STEP = HEAD_BYTES + 1
/** Words of an entry's place for each of its times. */
const TIME_STEP = 2

/**
 * The calls of one client that its driver daemon has and has not answered. Searched from the front: there are few of
 * them, and replies come mostly in order. A serial may occur twice, because the daemon does not mind either.
 */
export class CallTable {
  /** Entries, and behind them what is left of older ones: an array that is emptied would be allocated anew each time. */
  #words: number[] = []
  #end = 0
  /** Calls that were ever entered. */
  total = 0
  /** Of each entry when it came and when the daemon was given it, in milliseconds; undefined where nobody wants to know. */
  #times: number[] | undefined

  /** The first bytes of their arguments; undefined where none were ever kept. */
  #heads: Buffer | undefined

  /** Whether somebody wants to know. Of calls that are there already the times are 0. */
  keepTimes(yes: boolean): void {
    if (!yes) this.#times = undefined
    else this.#times ??= Array.from({ length: this.#end / TIME_STEP }, () => 0)
  }

  get size(): number {
    return this.#end / WORDS
  }

  add(prog: number, proc: number, serial: number, kind: CallKind): void {
    const at = this.#end
    if (this.#heads !== undefined && this.#heads.length > (at / WORDS) * HEAD_STEP) this.#heads[(at / WORDS) * HEAD_STEP] = 0
    this.#end += WORDS
    this.total++
    // Most clients wait for each answer: room for one call.
    if (this.#words.length === 0) this.#words = [prog, proc, serial | 0, kind]
    else {
      const words = this.#words
      words[at] = prog
      words[at + 1] = proc
      words[at + 2] = serial | 0
      words[at + 3] = kind
    }
  }

  /** The times of the call that was added last; only if the table is timed. */
  stamp(came: number, given: number): void {
    const times = this.#times!
    const at = (this.#end - WORDS) / TIME_STEP
    times[at] = came
    times[at + 1] = given
  }

  /** The arguments of the call that was added last, of which the first bytes are kept. */
  keepHead(bytes: Buffer, from: number, to: number): void {
    const at = (this.#end / WORDS - 1) * HEAD_STEP
    if (this.#heads === undefined || this.#heads.length < at + HEAD_STEP) this.#growHeads(at + HEAD_STEP)
    const length = Math.max(0, Math.min(HEAD_BYTES, to - from))
    this.#heads![at] = length
    if (length > 0) bytes.copy(this.#heads!, at + 1, from, from + length)
  }

  /** The first bytes of a call's arguments, if they are kept; valid until the table changes. */
  headAt(place: number): Buffer | undefined {
    const at = (place / WORDS) * HEAD_STEP
    const length = this.#heads?.[at] ?? 0
    return length === 0 ? undefined : this.#heads!.subarray(at + 1, at + 1 + length)
  }

  #growHeads(least: number): void {
    const larger = Buffer.alloc(Math.max(least, 2 * (this.#heads?.length ?? 0)))
    this.#heads?.copy(larger)
    this.#heads = larger
  }

  /** The place of the call that a reply with this header answers, until the table changes; -1 if there is no such call. */
  find(prog: number, proc: number, serial: number): number {
    const words = this.#words
    const wanted = serial | 0
    for (let at = 0; at < this.#end; at += WORDS) {
      if (words[at + 2] === wanted && words[at] === prog && words[at + 1] === proc) return at
    }
    return -1
  }

  /** The kind of the call in that place. */
  kindAt(place: number): CallKind {
    return this.#words[place + 3]!
  }

  programAt(place: number): number {
    return this.#words[place]!
  }

  procedureAt(place: number): number {
    return this.#words[place + 1]!
  }

  serialAt(place: number): number {
    return this.#words[place + 2]! >>> 0
  }

  cameAt(place: number): number {
    return this.#times === undefined ? 0 : this.#times[place / TIME_STEP]!
  }

  givenAt(place: number): number {
    return this.#times === undefined ? 0 : this.#times[place / TIME_STEP + 1]!
  }

  /** The place behind another; the first one is 0. -1 if there is none. */
  after(place: number): number {
    return place + WORDS < this.#end ? place + WORDS : -1
  }

  /** The call in that place is answered. */
  remove(place: number): void {
    const words = this.#words
    const times = this.#times
    this.#end -= WORDS
    // Nearly always nothing stands behind it.
    if (place === this.#end) return
    this.#heads?.copyWithin((place / WORDS) * HEAD_STEP, (place / WORDS + 1) * HEAD_STEP, (this.#end / WORDS + 1) * HEAD_STEP)
    for (let at = place; at < this.#end; at++) words[at] = words[at + WORDS]!
    if (times === undefined) return
    for (let at = place / TIME_STEP; at < this.#end / TIME_STEP; at++) times[at] = times[at + TIME_STEP]!
  }

  /** Empties the table; returns what was in it as headers of calls, for their error replies. */
  takeAll(): Header[] {
    const calls: Header[] = []
    for (let at = 0; at < this.#end; at += WORDS) {
      calls.push({
        prog: this.#words[at]!,
        vers: PROGRAM_VERSION,
        proc: this.#words[at + 1]!,
        type: MESSAGE.call,
        serial: this.#words[at + 2]! >>> 0,
        status: STATUS.ok
      })
    }
    this.#end = 0
    return calls
  }
}
