import type { MessageKind } from './log-kinds.js'

export interface Closable {
  close(why: string, kind: MessageKind): void
}

/** Somebody who waits. */
export interface Timed {
  /** Whom an unexpected failure in `timeUp` costs the connection. */
  readonly session?: Closable
  /** The time asked for has come, up to one tick late. The timer is idle again and may be set anew. */
  timeUp(timer: Timer): void
}

/** Times are kept in steps of this, in milliseconds: deadlines of thousands of connections cost one timer a thread. */
export const TICK_MS = 100
const IDLE = -1

/** One waiting place, made once and set again and again. */
export class Timer {
  /** Tick at which it goes off; IDLE if not at all. Both are the clock's. */
  due = IDLE
  /** Tick whose list it stands in, where it is looked at next, and the index there; IDLE if in none. */
  place = IDLE
  index = 0
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
    if (timer.place !== IDLE && timer.due >= timer.place) return
    this.#takeOut(timer)
    this.#place(timer)
  }

  /**
   * The timer does not go off, or was never made. The clock knows it no longer, so that it does not keep a closed connection
   * in memory.
   */
  cancel(timer: Timer | undefined): void {
    if (timer === undefined) return
    timer.due = IDLE
    this.#takeOut(timer)
  }

  stop(): void {
    clearInterval(this.#interval)
    this.#lists.clear()
  }

  #place(timer: Timer): void {
    timer.place = timer.due
    timer.index = 0
    const list = this.#lists.get(timer.due)
    if (list) timer.index = list.push(timer) - 1
    else this.#lists.set(timer.due, [timer])
  }

  /** The last of its list takes its place. The list whose time has come is not there any more: it is worked through. */
  #takeOut(timer: Timer): void {
    const list = this.#lists.get(timer.place)
    timer.place = IDLE
    if (list === undefined) return
    const last = list.pop()!
    if (last === timer) return
    list[timer.index] = last
    last.index = timer.index
  }

  #advance(): void {
    this.now = Math.floor(performance.now() - this.#started)
    // A blocked loop skips ticks; none of their timers may be lost.
    for (const last = Math.floor(this.now / TICK_MS); this.#tick < last;) {
      const list = this.#lists.get(++this.#tick)
      if (!list) continue
      this.#lists.delete(this.#tick)
      for (const timer of list) this.#look(timer)
    }
  }

  #look(timer: Timer): void {
    // It was called off, or set anew, by one that went off in the same tick.
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
