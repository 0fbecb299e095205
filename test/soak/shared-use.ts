import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from '../support/broker.js'
import { type Where, Metrics } from '../support/metrics.js'
import { waitFor } from '../support/waiting.js'

const SAMPLE_MS = 1000

/** What is known of clients that share driver connections, from the broker's metrics. */
export class SharedUse {
  readonly #wanted: boolean
  readonly #where: Where
  #clients = 0
  #connections = 0

  /** `where`: its metrics_listen. */
  constructor({ conf }: Broker, where: Where) {
    this.#wanted = conf.driver_sharing !== 'off'
    this.#where = where
  }

  async watch(until: number): Promise<void> {
    while (performance.now() < until) {
      await sleep(SAMPLE_MS)
      const metrics = await Metrics.of(this.#where)
      const clients = metrics.value('pool_clients')!
      if (clients <= this.#clients) continue
      this.#clients = clients
      this.#connections = metrics.value('pool_connections')!
    }
  }

  /** Resolves when no connection is kept that nobody uses. */
  async over(): Promise<void> {
    await waitFor('the end of shared connections', async () => (await Metrics.of(this.#where)).value('pool_connections') === 0)
  }

  /** Resolves to a report; rejects if clients that were to share have not, or those that were not have. */
  async judge(): Promise<string> {
    const promoted = (await Metrics.of(this.#where)).value('pool_own_connections_total')!
    const report = `at most ${this.#clients} clients on ${this.#connections} shared connections, ${promoted} times on one of their own`
    const shared = this.#clients > this.#connections && this.#connections > 0 && promoted > 0
    if (this.#wanted ? !shared : this.#clients + promoted > 0) throw new Error(report)
    return report
  }
}
