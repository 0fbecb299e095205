import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

/** Of each client. */
const CALLS_PER_SECOND = 5

/** A crowd of which everybody calls now and then. */
export const pollingCrowd: Entry = {
  name: 'polling-crowd',
  claim: 'With shared driver connections, a thousand clients that poll cost the daemon a third of what they cost it without a proxy.',
  goals: [
    { figure: 'latency p99', against: 'direct', limit: 0.5 },
    { figure: 'CPU of the driver', against: 'direct', limit: 0.7 }
  ],
  run: bench => bench.onStage({ sharing: true, peers: ['virtbroker', 'haproxy', 'direct'] }, async stage => {
    const clients = bench.scale.pollers
    const callsPerSecond = CALLS_PER_SECOND * clients
    const contenders = (await stage.crowds(TEST_URI, clients)).map(({ peer, load }) => ({
      peer, load, work: (ms: number) => load.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond })
    }))
    await inTurns(bench, { clients, 'calls/s': callsPerSecond }, contenders)
  })
}
