import { CODE, type RemoteError } from '../../protocol/errors.js'
import { hasPriority, lookup } from '../../protocol/procedures.js'
import type { ServedRecord } from '../thread/client-record.js'
import { observeAt, type Counters } from '../thread/counters.js'
import {
  DRIVERS, FAMILIES, MAX_SLOTS, OUTCOME, PLACES, REFUSALS, SLOT, SLOT_WORDS, SLOTS_AT, SLOTS_USED_AT, SPANS
} from '../thread/metric-families.js'
import { LOST, type SessionObserver, type TimedCall } from '../thread/session-observer.js'

const { callErrors, callQueue, callDriver } = FAMILIES
const MAX_CODE = callErrors.row - 1
const POLICY = REFUSALS.indexOf('policy')
const READ_ONLY = REFUSALS.indexOf('read_only')

/** Counts the calls of a thread, and how long they took, for the metrics page. */
export class CallMeter implements SessionObserver {
  readonly timing = true
  readonly starts = false
  readonly slowUs = Infinity
  readonly #counters: Counters
  readonly #words: Float64Array
  /** By a procedure's place and driver: the first word of its slot; 0 if it has none yet. */
  readonly #slots = new Uint32Array(PLACES * DRIVERS.length)

  constructor(counters: Counters) {
    this.#counters = counters
    this.#words = counters.words
    const words = this.#words
    if (words[SLOTS_USED_AT] === 0) words[SLOTS_USED_AT] = DRIVERS.length
    for (let slot = DRIVERS.length; slot < words[SLOTS_USED_AT]!; slot++) {
      const at = SLOTS_AT + slot * SLOT_WORDS
      this.#slots[words[at + SLOT.key]!] = at
    }
  }

  changed(): void {}

  begun(): void {}

  answered({ driver }: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number): void {
    const words = this.#words
    const place = placeOf(prog, proc)
    const slot = this.#slotOf(place, prog, proc, driver)
    words[slot + SLOT.outcomes + outcomeWord(code)]!++
    if (code > 0) this.#counters.add(callErrors, 1, driver, code <= MAX_CODE ? code : 0)
    // Of what the broker answers itself, and of what is lost, there is no time to tell.
    if (atDriver === 0 || code < 0) return
    const high = place < 0 ? 0 : HIGH[place]!
    observeAt(words, slot + SLOT.duration, queued + atDriver)
    observeAt(words, callQueue.at + callQueue.row * driver + callQueue.step * high, queued)
    observeAt(words, callDriver.at + callDriver.row * driver + callDriver.step * high, atDriver)
  }

  slow({ driver }: ServedRecord, { prog, proc }: TimedCall): void {
    this.#words[this.#slotOf(placeOf(prog, proc), prog, proc, driver) + SLOT.slow]!++
  }

  refused({ driver }: ServedRecord, prog: number, proc: number, why: RemoteError): void {
    const reason = why.code === CODE.accessDenied ? POLICY : why.code === CODE.operationDenied ? READ_ONLY : -1
    if (reason >= 0) this.#counters.add(FAMILIES.refusals, 1, reason)
    this.#words[this.#slotOf(placeOf(prog, proc), prog, proc, driver) + SLOT.outcomes + OUTCOME.refused]!++
  }

  /** The first word of the slot. */
  #slotOf(place: number, prog: number, proc: number, driver: number): number {
    if (place < 0) return SLOTS_AT + driver * SLOT_WORDS
    const key = place * DRIVERS.length + driver
    const at = this.#slots[key]!
    return at > 0 ? at : this.#newSlot(key, prog, proc, driver)
  }

  /** Procedures that nobody knows have none of their own: clients choose their numbers. */
  #newSlot(key: number, prog: number, proc: number, driver: number): number {
    const words = this.#words
    const slot = words[SLOTS_USED_AT]!
    const own = slot < MAX_SLOTS && lookup(prog, proc) !== undefined
    const at = SLOTS_AT + (own ? slot : driver) * SLOT_WORDS
    this.#slots[key] = at
    if (!own) return at
    words[at + SLOT.key] = key
    // Last: who reads it, or comes after us, finds the key there.
    words[SLOTS_USED_AT] = slot + 1
    return at
  }
}

const outcomeWord = (code: number): number =>
  (code === 0 ? OUTCOME.ok : code > 0 ? OUTCOME.error : code === LOST ? OUTCOME.lost : OUTCOME.timeout)

/** By a procedure's place: whether its calls have priority. */
const HIGH = Uint8Array.from(SPANS.flatMap(({ prog, procedures }) =>
  Array.from({ length: procedures }, (_, proc) => (hasPriority(prog, proc) ? 1 : 0))
))

/** Negative: it has none. */
function placeOf(prog: number, proc: number): number {
  let at = 0
  for (const span of SPANS) {
    if (span.prog === prog) return proc < span.procedures ? at + proc : -1
    at += span.procedures
  }
  return -1
}
