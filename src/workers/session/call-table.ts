import type { Header } from '../../protocol/header.js'
import { MESSAGE, PROGRAM_VERSION, STATUS } from '../../protocol/header.js'
import type { CallClass } from './call-classes.js'

/** Words of an entry: program, procedure, serial (as a signed word: a small integer to V8), class. */
const WORDS = 4
const NOT_FOUND = -1

/**
 * The calls of one client that its driver daemon has and has not answered. Searched from the front: there are few of
 * them, and replies come mostly in order. A serial may occur twice, because the daemon does not mind either.
 */
export class CallTable {
  readonly #words: number[] = []

  get size(): number {
    return this.#words.length / WORDS
  }

  add(prog: number, proc: number, serial: number, callClass: CallClass): void {
    this.#words.push(prog, proc, serial | 0, callClass)
  }

  /** Removes the call that a reply with this header answers. Returns its class, or -1 if there is no such call. */
  settle(prog: number, proc: number, serial: number): number {
    const words = this.#words
    const wanted = serial | 0
    for (let at = 0; at < words.length; at += WORDS) {
      if (words[at + 2] !== wanted || words[at] !== prog || words[at + 1] !== proc) continue
      const callClass = words[at + 3]!
      if (words.length === WORDS) words.length = 0
      else words.splice(at, WORDS)
      return callClass
    }
    return NOT_FOUND
  }

  /** The class of the call that such a reply answers, or -1; it stays in the table. */
  classOf(prog: number, proc: number, serial: number): number {
    const words = this.#words
    for (let at = 0; at < words.length; at += WORDS) {
      if (words[at + 2] === (serial | 0) && words[at] === prog && words[at + 1] === proc) return words[at + 3]!
    }
    return NOT_FOUND
  }

  /** Empties the table; returns what was in it as headers of calls, for their error replies. */
  takeAll(): Header[] {
    const calls: Header[] = []
    for (let at = 0; at < this.#words.length; at += WORDS) {
      calls.push({
        prog: this.#words[at]!,
        vers: PROGRAM_VERSION,
        proc: this.#words[at + 1]!,
        type: MESSAGE.call,
        serial: this.#words[at + 2]! >>> 0,
        status: STATUS.ok
      })
    }
    this.#words.length = 0
    return calls
  }
}
