import type { Point } from '../results/samples.js'
import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling, comingAndGoing } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'

const AT_A_TIME = 16
const CALLS = 'small calls'
const LOGINS = 'TLS connections'
const point = (threads: number, doing: string): Point => ({ 'actor threads': threads, doing })

/**
 * The broker alone, with one actor thread and with two. Calls are cheap: load and driver have their hands full before a
 * second thread has anything to do, unless there are more cores. A TLS handshake with a long key, and clients without
 * certificates, is much dearer for the broker than for the load.
 */
export const threads: Entry = {
  name: 'threads',
  claim: 'A second actor thread adds to what the broker passes on, as far as there are cores for it.',
  goals: [{ figure: 'rate', against: point(1, LOGINS), limit: 1.2, at: at => at.doing === LOGINS }],
  async run(bench) {
    const clients = bench.scale.clients.at(-1)!
    const alone = { driver: 'answering', peers: ['virtbroker'] } as const
    for (const count of [1, 2]) {
      await bench.onStage({ ...alone, threads: count }, async stage => {
        const contenders = calling(await stage.crowds(TEST_URI, clients), GET_LIB_VERSION)
        await inTurns(bench, point(count, CALLS), contenders)
      })
      await bench.onStage({ ...alone, threads: count, tls: { bothSides: false, bits: 4096 } }, async stage => {
        const contenders = comingAndGoing(stage, AT_A_TIME)
        await inTurns(bench, point(count, LOGINS), contenders)
      })
    }
  }
}
