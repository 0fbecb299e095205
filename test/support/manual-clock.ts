import { TICK_MS, type Clock, type Timer } from '#workers/base/clock.js'

/** Turns of the loop for each tick: what is on its way does not take more. */
const TURNS_A_TICK = 10
const MOST_TICKS = 10_000

/** A clock that stands still unless the test waits: no test depends on how long it takes itself. */
export class ManualClock {
  now = 0
  readonly #due = new Map<Timer, number>()

  get asClock(): Clock {
    return this as unknown as Clock
  }

  set(timer: Timer, ms: number): void {
    this.#due.set(timer, this.now + ms)
  }

  cancel(timer: Timer | undefined): void {
    if (timer !== undefined) this.#due.delete(timer)
  }

  advance(ms: number): void {
    this.now += ms
    for (const [timer, due] of [...this.#due]) {
      if (due > this.now || !this.#due.delete(timer)) continue
      timer.owner.timeUp(timer)
    }
  }

  /** As `waitFor`: asks again and again, and a tick later when nothing else happens. */
  async until<T>(what: string, probe: () => T | undefined | false): Promise<T> {
    for (let tick = 0; tick < MOST_TICKS; tick++) {
      for (let turn = 0; turn < TURNS_A_TICK; turn++) {
        const found = probe()
        if (found !== undefined && found !== false) return found
        await new Promise(resolve => setImmediate(resolve))
      }
      this.advance(TICK_MS)
    }
    throw new Error(`waited in vain for ${what}`)
  }
}
