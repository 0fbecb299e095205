import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

/** The broker alone, with one actor thread and with two. */
export const threads: Entry = {
  name: 'threads',
  claim: 'A second actor thread adds to what the broker passes on, as far as there are cores for it.',
  goals: [],
  async run(bench) {
    const clients = bench.scale.clients.at(-1)!
    for (const count of [1, 2]) {
      await bench.onStage({ driver: 'answering', peers: ['virtbroker'], threads: count }, async stage => {
        const contenders = (await stage.crowds(TEST_URI, clients)).map(({ peer, load }) => ({
          peer,
          load,
          work: (ms: number) => load.order({ do: 'closed-loop', call: GET_LIB_VERSION, ms })
        }))
        await inTurns(bench, stage, { 'actor threads': count, clients }, contenders)
      })
    }
  }
}
