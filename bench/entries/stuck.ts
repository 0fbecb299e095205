import { callFrame } from '#protocol/messages/frames.js'
import type { Stage } from '../bench.js'
import { inTurns, type Contender } from '../rounds.js'
import { GET_LIB_VERSION, NEVER_ANSWERED } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

const STUCK = 40
const NEIGHBOURS = 4
const CALLS_PER_SECOND = 2000

/** Some make calls that never come back; what do others of the same identity notice, who share connections with them? */
export const stuck: Entry = {
  name: 'stuck',
  claim: 'Beside calls that never come back, those who share driver connections wait no longer than those who do not.',
  goals: [{ figure: 'latency p99', against: { 'stuck calls': STUCK, sharing: 'off' }, limit: 1.1 }],
  run: bench => bench.onStage({ driver: 'answering', sharing: true, peers: ['virtbroker'] }, shared =>
    bench.onStage({ driver: 'answering', peers: ['virtbroker'] }, async apart => {
      const contenders = [...await neighbours(shared, 'identity'), ...await neighbours(apart, 'off')]
      await inTurns(bench, { 'stuck calls': STUCK }, contenders, { rate: false })
    }))
}

async function neighbours(stage: Stage, sharing: string): Promise<Contender[]> {
  for (const { load } of await stage.crowds(TEST_URI, STUCK)) {
    await load.order({ do: 'write', bytes: callFrame(NEVER_ANSWERED, 7), times: 1, deaf: false })
  }
  return (await stage.crowds(TEST_URI, NEIGHBOURS)).map(({ peer, load }) => ({
    peer, load, at: { sharing },
    work: ms => load.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond: CALLS_PER_SECOND })
  }))
}
