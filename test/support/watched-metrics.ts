import { expect } from 'chai'
import type { BrokerSurroundings } from './broker.js'
import type { Cleanup } from './cleanup.js'
import type { Conf } from './conf-file.js'
import { freePort } from './free-port.js'
import { Metrics } from './metrics.js'
import { Stage } from './stage.js'
import { waitFor } from './waiting.js'

export type Wanted = readonly [name: string, labels: Record<string, string>, value: number]

/**
 * A broker whose metrics are compared with those at the beginning. Each client has a driver connection of its own if the test
 * says nothing else, so that it is known how many there are.
 */
export class Watched {
  before = new Metrics('')

  private constructor(
    readonly stage: Stage,
    readonly port: number
  ) {}

  static async start(cleanup: Cleanup, conf: Conf = {}, under: BrokerSurroundings = {}): Promise<Watched> {
    const port = await freePort()
    const own: Conf = { metrics_listen: `127.0.0.1:${port}`, actor_threads: 2, log_level: 1, driver_sharing: 'off' }
    const stage = await Stage.start(cleanup, { ...own, ...conf }, under)
    await stage.probesForgotten()
    const watched = new Watched(stage, port)
    watched.before = await Metrics.of(port)
    return watched
  }

  /** Waits until counters have grown by so much, and gauges are so much. */
  async become(...all: readonly Wanted[]): Promise<void> {
    let now = this.before
    const valueOf = ([name, labels]: Wanted): number => {
      const value = now.value(name, labels) ?? 0
      const counted = /_(total|count)$/.test(name)
      return counted ? value - (this.before.value(name, labels) ?? 0) : value
    }
    try {
      await waitFor('the metrics', async () => {
        now = await Metrics.of(this.port)
        return all.every(one => valueOf(one) === one[2])
      })
    } catch (error) {
      expect(all.map(one => [one[0], one[1], valueOf(one)]), (error as Error).message).to.deep.equal(all)
    }
  }
}
