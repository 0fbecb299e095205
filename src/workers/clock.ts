export interface Closable {
  close(why: string, level: 'error'): void
}

/** Somebody who waits. */
export interface Timed {
  /** Whom an unexpected failure in `timeUp` costs the connection. */
  readonly session?: Closable
  /** The time asked for has come, up to one tick late. The timer is idle again and may be set anew. */
  timeUp(timer: Timer): void
}

/** Times are kept in steps of this, in milliseconds: deadlines of thousands of connections cost one timer a thread. */
const TICK_MS = 100
const IDLE = -1

/** One waiting place, made once and set again and again. */
export class Timer {
  /** Tick at which it goes off; IDLE if not at all. Both are the clock's. */
  due = IDLE
  /** Tick whose list it stands in, where it is looked at next; IDLE if in none. */
  place = IDLE
  constructor(readonly owner: Timed) {}
}

/**
 * A coarse clock with timers, one a thread. A timer that is set further off while it waits is not moved: it is found
 * early in its old place and put into its new one then, so that setting it is mostly a store and nothing more.
 */
export class Clock {
  /** Whole milliseconds since the clock was made, as of the last tick: a small integer, which V8 keeps in place. */
  now = 0
  #tick = 0
  readonly #lists = new Map<number, Timer[]>()
  readonly #interval: NodeJS.Timeout
  readonly #started = performance.now()

  /** `failed`: is told of exceptions in `timeUp`, which would end the thread otherwise. */
  constructor(readonly failed: (session: Closable | undefined, error: unknown) => void) {
    this.#interval = setInterval(() => this.#advance(), TICK_MS)
    this.#interval.unref()
  }

  /** Sets the timer to go off `ms` from now, whatever it was set to before. */
  set(timer: Timer, ms: number): void {
    timer.due = this.#tick + Math.max(1, Math.ceil(ms / TICK_MS))
    if (timer.place === IDLE || timer.due < timer.place) this.#place(timer)
  }

  /** The timer does not go off; its place is given up when its time comes. */
  cancel(timer: Timer): void {
    timer.due = IDLE
  }

  stop(): void {
    clearInterval(this.#interval)
    this.#lists.clear()
  }

  #place(timer: Timer): void {
    timer.place = timer.due
    const list = this.#lists.get(timer.due)
    if (list) list.push(timer)
    else this.#lists.set(timer.due, [timer])
  }

  #advance(): void {
    this.now = Math.floor(performance.now() - this.#started)
    // A blocked loop skips ticks; none of their timers may be lost.
    for (const last = Math.floor(this.now / TICK_MS); this.#tick < last; ) {
      const list = this.#lists.get(++this.#tick)
      if (!list) continue
      this.#lists.delete(this.#tick)
      for (const timer of list) this.#look(timer)
    }
  }

  #look(timer: Timer): void {
    // It was set to go off earlier in the meantime, and stands somewhere else.
    if (timer.place !== this.#tick) return
    timer.place = IDLE
    if (timer.due > this.#tick) return this.#place(timer)
    if (timer.due === IDLE) return
    timer.due = IDLE
    try {
      timer.owner.timeUp(timer)
    } catch (error) {
      this.failed(timer.owner.session, error)
    }
  }
}
