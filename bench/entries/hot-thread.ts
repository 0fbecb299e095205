import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'
import { withNeighbours } from './neighbours.js'

/** As many as the broker gives to one thread before the next one gets any (`actor_min_clients`). */
const CALM_CLIENTS = 16
const HOT_CLIENTS = 8

/** The calm clients fill the first thread, so that the hot ones come to the second. */
export const hotThread: Entry = {
  name: 'hot-thread',
  claim: 'Clients on one thread hardly notice that another thread is busy all the time.',
  goals: [{ figure: 'latency p99', against: 'haproxy', limit: 1.1 }],
  run: bench => bench.onStage({ peers: ['virtbroker', 'haproxy'], threads: 2 }, async stage => {
    const calm = await Promise.all(stage.peers.map(async peer => {
      const target = peer.target(TEST_URI)
      const load = stage.load()
      await load.open(target, CALM_CLIENTS)
      return { peer, load }
    }))
    await withNeighbours(bench, stage, calm, [
      { name: 'nobody', begin: () => Promise.resolve() },
      {
        name: 'a hot thread',
        begin: async (others, peer, ms) => {
          await others.open(peer.target(TEST_URI), HOT_CLIENTS, 1)
          others.order({ do: 'closed-loop', call: GET_LIB_VERSION, ms: 2 * ms }).catch(() => {})
        }
      }
    ])
  })
}
