import type { Bench, StageWish } from '../bench.js'
import { measure, record } from '../measure.js'
import { turn } from '../rounds.js'
import { quiet } from '../system/quiet.js'
import { TEST_URI, type Entry } from './entry.js'

/** More rounds of this would take minutes with the slowest peer. */
const ROUNDS = 3

/** Everybody comes at once and stays, as after a restart: all connect in the same moment and open. */
export const storm: Entry = {
  name: 'storm',
  claim: 'Thousands of clients that come at once are all served, at six times the rate of virtproxyd.',
  goals: [{ figure: 'rate', against: 'libvirtd', limit: 6 }],
  run: bench => come(bench, bench.scale.stormClients[0]!)
}

/** The same with shared driver connections, and more than there is room for with others. */
export const sharedStorm: Entry = {
  name: 'shared-storm',
  claim: 'With shared driver connections, nine thousand clients that come at once are all let in within ten seconds.',
  goals: [
    { figure: 'rate', against: 'haproxy', limit: 2, at: point => point['clients at once'] === 4000 },
    { figure: 'rate', against: 'libvirtd', limit: 20, at: point => point['clients at once'] === 4000 }
  ],
  async run(bench) {
    const [clients, more] = bench.scale.stormClients
    await come(bench, clients!, { sharing: true, peers: ['virtbroker', 'haproxy', 'libvirtd'] })
    if (more !== undefined) await come(bench, more, { sharing: true, peers: ['virtbroker'] })
  }
}

const come = (bench: Bench, clients: number, wish: StageWish = {}): Promise<void> =>
  bench.onStage(wish, async stage => {
    const point = { 'clients at once': clients }
    for (const round of bench.inTime(bench.rounds.slice(0, ROUNDS))) {
      for (const peer of turn(stage.peers, round)) {
        bench.progress(peer.name, point, `round ${round + 1} of ${Math.min(ROUNDS, bench.scale.rounds)}`)
        const load = stage.load()
        await load.ready()
        const order = { do: 'open', target: peer.target(TEST_URI), clients, parallel: clients } as const
        const measured = await measure(bench, peer, load.pid, () => load.order(order))
        record(bench, peer, point, round, measured)
        await load.stop()
        await quiet([peer.pid, ...peer.driver.pids])
      }
    }
  })
