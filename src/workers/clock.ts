/** Somebody who waits. */
export interface Timed {
  /** The time asked for has come, up to one tick late. The timer is idle again and may be set anew. */
  timeUp(timer: Timer): void
}

/** Times are kept in steps of this, in milliseconds: deadlines of thousands of connections cost one timer a thread. */
const TICK_MS = 100

/** One waiting place, made once and set again and again. */
export class Timer {
  /** Tick at which it goes off; -1 while idle. Read by `Clock` only. */
  due = -1
  constructor(readonly owner: Timed) {}
}

/**
 * A coarse clock with timers, one a thread. A timer that is set further off while it waits is not moved: it is found
 * early in its old place and put into its new one then, so that setting it is a store and nothing more.
 */
export class Clock {
  /** Milliseconds since the clock was made, as of the last tick. */
  now = 0
  #tick = 0
  readonly #places = new Map<number, Timer[]>()
  readonly #interval: NodeJS.Timeout
  readonly #started = performance.now()

  constructor() {
    this.#interval = setInterval(() => this.#advance(), TICK_MS)
    this.#interval.unref()
  }

  /** Sets the timer `ms` from now. A timer that waits already must not be set to go off earlier. */
  set(timer: Timer, ms: number): void {
    const due = this.#tick + Math.max(1, Math.ceil(ms / TICK_MS))
    const waiting = timer.due >= 0
    timer.due = due
    if (!waiting) this.#place(timer, due)
  }

  /** The timer does not go off; its place is given up when its time comes. */
  cancel(timer: Timer): void {
    if (timer.due >= 0) timer.due = Number.MAX_SAFE_INTEGER
  }

  stop(): void {
    clearInterval(this.#interval)
    this.#places.clear()
  }

  #place(timer: Timer, tick: number): void {
    const place = this.#places.get(tick)
    if (place) place.push(timer)
    else this.#places.set(tick, [timer])
  }

  #advance(): void {
    this.now = performance.now() - this.#started
    // A blocked loop skips ticks; none of their timers may be lost.
    for (const last = Math.floor(this.now / TICK_MS); this.#tick < last; ) {
      const place = this.#places.get(++this.#tick)
      if (!place) continue
      this.#places.delete(this.#tick)
      for (const timer of place) {
        if (timer.due === Number.MAX_SAFE_INTEGER) timer.due = -1
        else if (timer.due > this.#tick) this.#place(timer, timer.due)
        else {
          timer.due = -1
          timer.owner.timeUp(timer)
        }
      }
    }
  }
}
