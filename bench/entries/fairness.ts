import type { Order } from '../load/orders.js'
import { nodeListDevices } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'
import { withNeighbours, type Neighbour } from './neighbours.js'

const CALM_CLIENTS = 8
/** Replies of 16 MiB, one after the other: to whoever passes them on, that is a stream without end. */
const BULK = nodeListDevices(65_536)
/** The same in portions of 1 MiB. */
const PORTION = nodeListDevices(4096)
const PORTIONS_PER_SECOND = 100

const PACED = `a stream of ${PORTIONS_PER_SECOND} MiB/s`
const ONE = 'a bulk stream'

/** Not waited for: it goes on for as long as the measurement takes. */
const stream = (name: string, clients: number, order: (ms: number) => Order): Neighbour => ({
  name,
  begin: async (others, peer, ms) => {
    await others.open(peer.target(TEST_URI), clients)
    others.order(order(2 * ms)).catch(() => {})
  }
})

const endless = (ms: number): Order => ({ do: 'closed-loop', call: BULK, ms })

const kinds: readonly Neighbour[] = [
  { name: 'nobody', begin: () => Promise.resolve() },
  stream(PACED, 1, ms => ({ do: 'fixed-rate', call: PORTION, ms, callsPerSecond: PORTIONS_PER_SECOND })),
  stream(ONE, 1, endless),
  stream('4 bulk streams', 4, endless)
]

/**
 * One actor thread, so that all are neighbours. An endless stream takes all CPU time that load, proxy and driver can get,
 * and latency suffers from that without a proxy, too: the others' columns say how much.
 */
export const fairness: Entry = {
  name: 'fairness',
  claim: 'Beside a bulk stream, small calls on the same thread wait no longer than through HAProxy.',
  goals: [
    { figure: 'latency p99', against: { beside: 'nobody' }, limit: 2, at: ({ beside }) => beside === PACED || beside === ONE },
    { figure: 'latency p99', against: 'haproxy', limit: 1.1, at: ({ beside }) => beside !== 'nobody' }
  ],
  run: bench => bench.onStage({ driver: 'answering', threads: 1 }, async stage => {
    const calm = await stage.crowds(TEST_URI, CALM_CLIENTS)
    await withNeighbours(bench, stage, calm, kinds)
  })
}
