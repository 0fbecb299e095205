import type { Stage } from '../bench.js'
import type { Load } from '../load/load.js'
import { inTurns } from '../rounds.js'
import type { Figure } from '../results/samples.js'
import { socketConnections } from '../system/socket-connections.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'

const CALLERS = 16
const CONNECTIONS: Figure = { figure: 'connections at the driver', unit: '', better: 'lower' }

/** Thousands have a name open and do nothing; how well are a few served that call? */
export const crowd: Entry = {
  name: 'crowd',
  claim: 'With shared driver connections, idle clients do not slow down those that call.',
  goals: [
    { figure: 'rate', against: { 'idle clients': 0 }, limit: 0.9 },
    { figure: 'latency p99', against: { 'idle clients': 0 }, limit: 1.5 },
    { figure: 'rate', against: 'direct', limit: 4, at: point => point['idle clients'] === 2000 },
    { figure: 'rate', against: 'direct', limit: 12, at: point => point['idle clients'] === 4000 }
  ],
  run: bench => bench.onStage({ conf: ['driver_sharing = "identity"'] }, async stage => {
    const callers = await stage.crowds(TEST_URI, CALLERS)
    const idle = await stage.crowds(TEST_URI, 0)
    let there = 0
    for (const clients of bench.scale.crowds) {
      await grow(stage, idle.map(({ load }) => load), clients - there)
      there = clients
      const point = { 'idle clients': clients }
      await inTurns(bench, point, calling(callers, GET_LIB_VERSION))
      for (const { name, driver } of stage.peers) bench.record(name, point, 0, CONNECTIONS, socketConnections(driver.socket))
    }
  })
}

async function grow(stage: Stage, loads: readonly Load[], by: number): Promise<void> {
  if (by > 0) await Promise.all(stage.peers.map((peer, i) => loads[i]!.open(peer.target(TEST_URI), by)))
}
