import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

const CLIENTS = 16
/** Well below what any of the peers can do, so that latency is not that of a queue. */
const CALLS_PER_SECOND = 1000

/** Calls come at a fixed rate, as from people and timers, whether or not earlier ones were answered. */
export const fixedRate: Entry = {
  name: 'fixed-rate',
  claim: 'At a moderate rate a call takes about as long as through HAProxy, the slow ones included.',
  goals: [
    { figure: 'latency p50', against: 'haproxy', limit: 1.1 },
    { figure: 'latency p99', against: 'haproxy', limit: 1.1 }
  ],
  run: bench => bench.onStages({}, async (stage, rounds) => {
    const crowds = await stage.crowds(TEST_URI, CLIENTS)
    const contenders = crowds.map(({ peer, load }) => ({
      peer,
      load,
      work: (ms: number) =>
        load.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond: CALLS_PER_SECOND })
    }))
    await inTurns(bench, { 'calls/s': CALLS_PER_SECOND }, contenders, { rate: false }, rounds)
  })
}
