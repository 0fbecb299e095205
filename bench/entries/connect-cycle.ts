import { inTurns } from '../rounds.js'
import { TEST_URI, type Entry } from './entry.js'

const AT_A_TIME = 16

/**
 * Clients come and go without pause: connect, open, close. However cheap the broker is, the driver's own part bounds the
 * rate: without any proxy it is not three times that of libvirtd as a proxy.
 */
export const connectCycle: Entry = {
  name: 'connect-cycle',
  claim: 'Clients come and go at twice the rate of virtproxyd.',
  goals: [{ figure: 'rate', against: 'libvirtd', limit: 2 }],
  run: bench => bench.onStage({}, async stage => {
    const contenders = stage.peers.map(peer => {
      const load = stage.load()
      const target = peer.target(TEST_URI)
      return { peer, load, work: (ms: number) => load.order({ do: 'cycles', target, ms, parallel: AT_A_TIME }) }
    })
    await inTurns(bench, { 'at a time': AT_A_TIME }, contenders)
  })
}
