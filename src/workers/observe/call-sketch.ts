import type { ServedRecord } from '../thread/client-record.js'
import { observeAt, quantileAt } from '../thread/counters.js'
import { HISTOGRAM_WORDS } from '../thread/metric-families.js'
import { ObserverBetween } from './observer-between.js'

/** Notes how long the calls of one client take, for somebody who looks at it now and then. */
export class CallSketch extends ObserverBetween {
  readonly #histogram = new Float64Array(HISTOGRAM_WORDS)

  /** Of the calls since the last time, in microseconds; undefined if there were none. */
  takeP99(): number | undefined {
    const p99 = quantileAt(this.#histogram, 0, 0.99)
    this.#histogram.fill(0)
    return p99
  }

  override answered(
    client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number, serial: number
  ): void {
    super.answered(client, prog, proc, code, queued, atDriver, serial)
    if (atDriver > 0 && code >= 0) observeAt(this.#histogram, 0, queued + atDriver)
  }
}
