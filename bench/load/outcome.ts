import { Latencies } from './latencies.js'
import type { Outcome } from './orders.js'

/** What an order has brought so far. */
export class Tally {
  count = 0
  failures = 0
  bytes = 0
  events = 0
  readonly latencies = new Latencies()
  readonly started = performance.now()
  #firstFailure: string | undefined

  fail(reason: string, times = 1): void {
    this.failures += times
    this.#firstFailure ??= reason
  }

  finish(): Outcome {
    const { count, failures, bytes, events, latencies, started } = this
    return {
      count,
      failures,
      firstFailure: this.#firstFailure,
      ms: performance.now() - started,
      bytes,
      latencies: latencies.encode(),
      events
    }
  }
}
