import { nodeListDevices } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'
import { withNeighbours, type Neighbour } from './neighbours.js'

const CALM_CLIENTS = 8
/** Replies of 16 MiB, one after the other: to whoever passes them on, that is a stream without end. */
const BULK = nodeListDevices(65_536)

const bulk = (clients: number): Neighbour => ({
  name: clients === 1 ? 'a bulk stream' : `${clients} bulk streams`,
  begin: async (others, peer, ms) => {
    await others.open(peer.target(TEST_URI), clients)
    // Not waited for: it goes on for as long as the measurement takes.
    others.order({ do: 'closed-loop', call: BULK, ms: 2 * ms }).catch(() => {})
  }
})

/** One actor thread, so that all are neighbours. What the others' columns show, machine and driver do to anybody. */
export const fairness: Entry = {
  name: 'fairness',
  claim: 'A bulk stream leaves small calls on the same thread their pace.',
  goals: [
    { figure: 'latency p99', against: { beside: 'nobody' }, limit: 2, at: ({ beside }) => beside === 'a bulk stream' },
    { figure: 'latency p99', against: 'haproxy', limit: 1.1 }
  ],
  run: bench => bench.onStage({ driver: 'answering', threads: 1 }, async stage => {
    const calm = await stage.crowds(TEST_URI, CALM_CLIENTS)
    await withNeighbours(bench, stage, calm, [{ name: 'nobody', begin: () => Promise.resolve() }, bulk(1), bulk(4)])
  })
}
