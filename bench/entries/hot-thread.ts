import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'
import { withNeighbours } from './neighbours.js'

const CALM_CLIENTS = 8
const HOT_CLIENTS = 8
/** Before a real driver the calls would wait there, and the thread for them. */
const STAGE = { peers: ['virtbroker', 'haproxy'], threads: 2, driver: 'answering' } as const

/**
 * The broker gives a new client to the thread that has fewest, so two that come one after the other are on different
 * threads. Placeholders take every other place while the calm clients come, and leave theirs to the hot ones.
 */
export const hotThread: Entry = {
  name: 'hot-thread',
  claim: 'While one thread is busy all the time, clients on another wait about as long as through HAProxy.',
  goals: [{ figure: 'latency p99', against: 'haproxy', limit: 1.1 }],
  run: bench => bench.onStage(STAGE, async stage => {
    const calm = await Promise.all(stage.peers.map(async peer => {
      const target = peer.target(TEST_URI)
      const load = stage.load()
      const placeholders = stage.load()
      for (let i = 0; i < CALM_CLIENTS; i++) {
        await load.open(target, 1)
        await placeholders.open(target, 1)
      }
      await placeholders.stop()
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
