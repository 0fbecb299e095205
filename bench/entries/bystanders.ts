import { REMOTE } from '#protocol/procedures.js'
import { callFrame } from '#protocol/messages/frames.js'
import type { Load } from '../load/load.js'
import type { Order } from '../load/orders.js'
import type { Peer } from '../peers/peers.js'
import { TEST_URI, type Entry } from './entry.js'
import { withNeighbours, type Neighbour } from './neighbours.js'

const CALM_CLIENTS = 16
const NEIGHBOURS = 32

/** Not waited for: it goes on for as long as the measurement takes. */
const endless = (order: (peer: Peer, ms: number) => Order) => (others: Load, peer: Peer, ms: number) => {
  others.order(order(peer, 2 * ms)).catch(() => {})
  return Promise.resolve()
}

/** Opens the neighbours, then has each write the bytes. */
const writers = (bytes: Uint8Array, times = 1, deaf = false) => async (others: Load, peer: Peer): Promise<void> => {
  await others.open(peer.target(TEST_URI), NEIGHBOURS)
  await others.order({ do: 'write', bytes, times, deaf })
}

const kinds: readonly Neighbour[] = [
  { name: 'nobody', begin: () => Promise.resolve() },
  {
    name: 'idle clients',
    begin: async (others, peer) => void (await others.open(peer.target(TEST_URI), NEIGHBOURS))
  },
  // The first half of a header: the rest never comes.
  { name: 'half frames', begin: writers(callFrame(REMOTE.connectGetLibVersion, 7).subarray(0, 14)) },
  { name: 'garbage', begin: writers(Buffer.alloc(64 * 1024, 0xa5)) },
  // Many calls at once, whose replies nobody reads.
  { name: 'deaf clients', begin: writers(callFrame(REMOTE.connectGetCapabilities, 7), 200, true) },
  {
    name: 'clients that come and go',
    begin: endless((peer, ms) => ({ do: 'cycles', target: peer.target(TEST_URI), ms, parallel: NEIGHBOURS }))
  },
  {
    name: 'connections that are reset',
    begin: endless((peer, ms) => ({ do: 'resets', target: peer.target(TEST_URI), ms }))
  }
]

/** Some misbehave; what do the others notice? */
export const bystanders: Entry = {
  name: 'bystanders',
  claim: 'Beside clients that misbehave, the others wait no longer than in virtproxyd.',
  goals: [{ figure: 'latency p99', against: 'libvirtd', limit: 1.0 }],
  run: bench => bench.onStage({}, async stage => {
    await withNeighbours(bench, stage, await stage.crowds(TEST_URI, CALM_CLIENTS), kinds)
  })
}
