import type { Bench, Stage } from '../bench.js'
import type { PeerName } from '../peers/peers.js'
import type { Figure, Point } from '../results/samples.js'
import { inTurns, type Contender } from '../rounds.js'
import { socketConnections } from '../system/socket-connections.js'
import { GET_LIB_VERSION } from './calls.js'
import { SHARING, TEST_URI, type Entry } from './entry.js'

const CALLERS = [16, 1]
/** More idle clients than these are not opened at the daemon itself: it takes minutes. */
const MOST_DIRECT = 4000
const CONNECTIONS: Figure = { figure: 'connections at the driver', unit: '', better: 'lower' }

const beside = (clients: number, callers = 16) => (point: Point): boolean =>
  point['idle clients'] === clients && point['callers'] === callers
const manyCallers = (point: Point): boolean => point['callers'] === 16
const NONE: Point = { callers: 16, 'idle clients': 0 }

/**
 * Thousands have a name open and do nothing; how well are a few served that call? Each crowd has a peer and a daemon of its
 * own, and all of them are there at the same time: what is between two turns is nothing but the crowd.
 */
export const crowd: Entry = {
  name: 'crowd',
  claim: 'With shared driver connections, idle clients do not slow down those that call.',
  goals: [
    { figure: 'rate', against: NONE, limit: 0.9, at: manyCallers },
    { figure: 'latency p99', against: NONE, limit: 1.5, at: beside(4000) },
    { figure: 'rate', against: 'direct', limit: 4, at: beside(2000) },
    { figure: 'rate', against: 'direct', limit: 12, at: beside(4000) },
    { figure: 'latency p50', against: 'direct', limit: 1 / 50, at: beside(4000, 1) }
  ],
  run: bench => withCrowds(bench, bench.scale.crowds, [], async crowds => {
    for (const callers of CALLERS) {
      const contenders = crowds.flatMap(({ stage, clients }) => stage.peers.map((peer, i): Contender => {
        const load = stage.loads[i]!
        const work = (ms: number) => load.order({ do: 'closed-loop', call: GET_LIB_VERSION, ms, clients: callers })
        return { peer, load, at: { 'idle clients': clients }, work }
      }))
      await inTurns(bench, { callers }, contenders)
    }
    for (const { stage, clients } of crowds) {
      for (const { name, driver } of stage.peers) {
        bench.record(name, { 'idle clients': clients }, 0, CONNECTIONS, socketConnections(driver.socket))
      }
    }
  })
}

interface Crowd {
  clients: number
  /** The first loads are those that call. */
  stage: Stage
}

async function withCrowds(bench: Bench, sizes: readonly number[], there: readonly Crowd[], work: (all: readonly Crowd[]) => Promise<void>):
Promise<void> {
  const [clients, ...more] = sizes
  if (clients === undefined) return work(there)
  const peers: PeerName[] = clients > MOST_DIRECT ? ['virtbroker'] : ['virtbroker', 'direct']
  await bench.onStage({ conf: SHARING, peers }, async stage => {
    await stage.crowds(TEST_URI, Math.max(...CALLERS))
    await stage.crowds(TEST_URI, clients)
    await withCrowds(bench, more, [...there, { clients, stage }], work)
  })
}
