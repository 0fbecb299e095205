import type { Clock, Timer } from '#workers/base/clock.js'

/** A clock of which the test says when it ticks. */
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
}
