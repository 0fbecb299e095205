import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { Counters } from './counters.js'
import { FAMILIES } from './metric-families.js'

/** A loop is asked so often whether it turns; what it takes longer is its delay. */
const RESOLUTION_MS = 20
/** Looks, one a second, after which what is seen is put aside. What is told is of the last one or two such times. */
const LOOKS = 30
const PERCENTILES = [50, 99, 100]

/** How late the event loop of this thread is, and how busy. */
export class LoopWatch {
  readonly #counters: Counters
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #before = PERCENTILES.map(() => 0)
  #looks = 0
  #last = performance.eventLoopUtilization()

  constructor(counters: Counters) {
    this.#counters = counters
    this.#delays.enable()
  }

  /** To be called once a second. */
  look(): void {
    const now = performance.eventLoopUtilization()
    this.#counters.set(FAMILIES.utilization, performance.eventLoopUtilization(now, this.#last).utilization)
    this.#last = now
    const delays = PERCENTILES.map(percentile => Math.max(0, this.#delays.percentile(percentile) - 1e6 * RESOLUTION_MS))
    for (const [i, delay] of delays.entries()) this.#counters.set(FAMILIES.loopDelay, Math.max(delay, this.#before[i]!), i)
    if (++this.#looks < LOOKS) return
    this.#looks = 0
    this.#before = delays
    this.#delays.reset()
  }

  stop(): void {
    this.#delays.disable()
  }
}
