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
  run: bench => bench.onStage({}, async stage => {
    const clients = bench.scale.stormClients
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
}
