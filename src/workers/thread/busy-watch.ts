import { performance } from 'node:perf_hooks'
import { Timer, type Clock, type Timed } from '../base/clock.js'

const WATCH_MS = 1000
/** Shares of a second spent working. Apart, so that a thread in between does not change its mind every second. */
const BUSY_FROM = 0.5
const BUSY_UNTIL = 0.3

/** Tells when this thread becomes busy, and when it is no longer. */
export class BusyWatch implements Timed {
  readonly #timer = new Timer(this)
  #busy = false
  #last = performance.eventLoopUtilization()

  constructor(
    readonly clock: Clock,
    readonly changed: (busy: boolean) => void
  ) {
    clock.set(this.#timer, WATCH_MS)
  }

  timeUp(): void {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, this.#last)
    this.#last = now
    this.clock.set(this.#timer, WATCH_MS)
    const busy = utilization > (this.#busy ? BUSY_UNTIL : BUSY_FROM)
    if (busy === this.#busy) return
    this.#busy = busy
    this.changed(busy)
  }
}
