import type { Closable } from '../base/clock.js'
import { TurnClock } from '../base/turn-clock.js'

/** Somebody who has something left over from an earlier turn. */
export interface Unfinished {
  /** Whom an unexpected failure in `goOn` costs the connection. */
  readonly session: Closable
  goOn(): void
}

/**
 * What one connection, and all of them together, may cause in one turn of the thread's loop. A unit is a frame that the
 * broker answers, looks into or keeps, which is a few microseconds; frames that are passed on are not counted.
 */
const CONNECTION_UNITS = 64
const THREAD_UNITS = 512
/** However few units are left, none waits for more than this many turns of the others. */
const LEAST_UNITS = 1
/** A thread's turn with what is left over ends after this, whatever the units say. */
const TURN_MS = 5

/**
 * Shares a thread's time among connections whose frames cost more than being passed on. Thousands of such frames fit
 * into one read, so a connection stops after its share, and goes on, in the order of arrival, when the others have been
 * looked at.
 *
 * What is left over goes on behind the poll for events, and begins a turn to which the next poll belongs. As long as
 * nothing is left over each poll begins one, and nothing needs to be scheduled for that.
 */
export class Turns {
  readonly clock = new TurnClock()
  #left = THREAD_UNITS
  /** Counts the turns. */
  number = 0
  /** The turn has begun with what was left over. */
  #begun = false
  #scheduled = false
  /** Those that are ready are being looked at. */
  #polling = false
  readonly #queue = new Set<Unfinished>()
  #leaving: Unfinished[] = []

  constructor(readonly failed: (session: Closable | undefined, error: unknown) => void) {}

  /** Units that a connection may use up now. */
  get share(): number {
    return Math.max(LEAST_UNITS, Math.min(CONNECTION_UNITS, this.#left))
  }

  spent(units: number): void {
    this.#left -= units
  }

  /** Those that are ready are about to be looked at. */
  polled(): void {
    this.#polling = true
    this.clock.begin()
    if (!this.#begun && !this.#scheduled) this.#begin()
    this.#begun = false
  }

  /** All of them have been looked at. */
  pollOver(): void {
    this.#polling = false
    this.end()
    this.clock.end()
  }

  /** `unfinished` goes on in the next turn, once, however often this is said before. */
  later(unfinished: Unfinished): void {
    this.#queue.add(unfinished)
    this.#schedule()
  }

  /** `unfinished` goes on as soon as the thread is done with what it is at: with all that are ready in one poll. */
  atEnd(unfinished: Unfinished): void {
    if (this.#leaving.push(unfinished) === 1 && !this.#polling) queueMicrotask(this.end)
  }

  /** What is to go on at the end does so now. */
  readonly end = (): void => {
    const leaving = this.#leaving
    this.#leaving = []
    for (const one of leaving) this.#goOn(one)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Behind the poll for events, so that all who are ready have had their read in between.
    setImmediate(() => this.#turn())
  }

  #begin(): void {
    this.number++
    this.#left = THREAD_UNITS
  }

  #turn(): void {
    this.#scheduled = false
    this.#begin()
    this.#begun = true
    const until = performance.now() + TURN_MS
    let count = this.#queue.size
    for (const one of this.#queue) {
      if (count-- === 0 || this.#left <= 0 || performance.now() >= until) break
      this.#queue.delete(one)
      this.#goOn(one)
    }
    if (this.#queue.size > 0) this.#schedule()
  }

  #goOn(one: Unfinished): void {
    try {
      one.goOn()
    } catch (error) {
      this.failed(one.session, error)
    }
  }
}
