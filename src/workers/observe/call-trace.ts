import type { RemoteError } from '../../protocol/errors.js'
import type { ServedRecord } from '../thread/client-record.js'
import { outcomeOf } from '../thread/session-observer.js'
import type { TracedCall } from '../thread/trace-report.js'
import { ObserverBetween } from './observer-between.js'

const MOST_CALLS = 1024
const MAX_MESSAGE = 200
/** Words of a call: when it ended, in milliseconds since the epoch, and what an observer is told. */
const AT = 0
const PROG = 1
const PROC = 2
const CODE = 3
const QUEUED = 4
const AT_DRIVER = 5
const WORDS = 6

/** Keeps the last calls of one client for somebody who looks at them now and then. What nobody has fetched in time is counted. */
export class CallTrace extends ObserverBetween {
  readonly #words = new Float64Array(MOST_CALLS * WORDS)
  /** Of calls that were refused: why. */
  readonly #messages: (string | undefined)[] = Array.from({ length: MOST_CALLS }, () => undefined)
  #count = 0
  #fetched = 0

  override answered(
    client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number, serial: number
  ): void {
    super.answered(client, prog, proc, code, queued, atDriver, serial)
    this.#add(prog, proc, code, queued, atDriver, undefined)
  }

  override refused(client: ServedRecord, prog: number, proc: number, why: RemoteError, serial: number): void {
    super.refused(client, prog, proc, why, serial)
    this.#add(prog, proc, why.code, 0, 0, why.message.slice(0, MAX_MESSAGE))
  }

  /** The calls that ended since the last time, and how many of them are not kept any more. */
  fetch(): { calls: TracedCall[]; dropped: number } {
    const first = Math.max(this.#fetched, this.#count - MOST_CALLS)
    const dropped = first - this.#fetched
    const calls: TracedCall[] = []
    for (let number = first; number < this.#count; number++) calls.push(this.#call(number % MOST_CALLS))
    this.#fetched = this.#count
    return { calls, dropped }
  }

  #add(prog: number, proc: number, code: number, queued: number, atDriver: number, message: string | undefined): void {
    const slot = this.#count++ % MOST_CALLS
    const at = slot * WORDS
    const words = this.#words
    words[at + AT] = Date.now()
    words[at + PROG] = prog
    words[at + PROC] = proc
    words[at + CODE] = code
    words[at + QUEUED] = queued
    words[at + AT_DRIVER] = atDriver
    this.#messages[slot] = message
  }

  #call(slot: number): TracedCall {
    const [at = 0, prog = 0, proc = 0, code = 0, queued = 0, atDriver = 0] = this.#words.subarray(slot * WORDS, (slot + 1) * WORDS)
    const message = this.#messages[slot]
    const outcome = message !== undefined ? 'refused' : outcomeOf(code)
    // Of what the broker answers itself there is no time to tell.
    const times = atDriver === 0 ? {} : { queuedUs: queued, driverUs: atDriver }
    return { at, prog, proc, outcome, code: code > 0 ? code : undefined, message, ...times }
  }
}
