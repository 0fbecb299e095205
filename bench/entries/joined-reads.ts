import type { Bench } from '../bench.js'
import { measure, record } from '../measure.js'
import type { Peer } from '../peers/peers.js'
import type { Load } from '../load/load.js'
import type { Figure, Point } from '../results/samples.js'
import { turn } from '../rounds.js'
import { ALL_DOMAIN_STATS, executions } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

const EXECUTIONS: Figure = { figure: 'executions at the driver', unit: '', better: 'lower' }

/** All ask at once for the same, and the daemon takes a second to work it out, for twenty at a time. */
export const joinedReads: Entry = {
  name: 'joined-reads',
  claim: 'With identical reads joined, 200 clients that ask a slow daemon for the same wait little longer than one does.',
  goals: [
    { figure: 'latency p99', against: 'direct', limit: 0.22 },
    { figure: 'executions at the driver', against: 'direct', limit: 0.06 }
  ],
  run: bench => bench.onStage(
    { driver: 'answering', sharing: true, collapsing: true, peers: ['virtbroker', 'direct'] },
    async stage => {
      const clients = bench.scale.askers
      const contenders = await stage.crowds(TEST_URI, clients)
      for (const round of bench.inTime()) {
        for (const { peer, load } of turn(contenders, round)) await askOnce(bench, peer, load, { clients }, round)
      }
    }
  )
}

async function askOnce(bench: Bench, peer: Peer, load: Load, point: Point, round: number): Promise<void> {
  bench.progress(peer.name, point, `round ${round + 1} of ${bench.scale.rounds}`)
  const before = await executions(load)
  const measured = await measure(bench, peer, load.pid, () => load.order({ do: 'closed-loop', call: ALL_DOMAIN_STATS, ms: 0 }))
  record(bench, peer, point, round, measured, { cpu: false, rate: false })
  bench.record(peer.name, point, round, EXECUTIONS, (await executions(load)) - before)
}
