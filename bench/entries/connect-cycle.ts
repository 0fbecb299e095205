import { turn } from '../bench.js'
import { measure, recordCalls } from '../measure.js'
import { TEST_URI, type Entry } from './entry.js'

/** Sixteen clients come and go without pause: connect, open, close. */
export const connectCycle: Entry = {
  name: 'connect-cycle',
  claim: 'Clients come and go at six times the rate of virtproxyd.',
  goals: [{ figure: 'rate', against: 'libvirtd', limit: 6 }],
  run: bench => bench.onStage({}, async stage => {
    const { scale } = bench
    const point = { 'at a time': 16 }
    const crowds = stage.peers.map(peer => ({ peer, load: stage.load() }))
    const order = (target: ReturnType<(typeof stage.peers)[0]['target']>, ms: number) =>
      ({ do: 'cycles', target, ms, parallel: 16 }) as const
    for (const { peer, load } of crowds) {
      bench.progress(peer.name, point, 'warming up')
      await load.order(order(peer.target(TEST_URI), scale.warmMs))
    }
    for (let round = 0; round < scale.rounds; round++) {
      for (const { peer, load } of turn(crowds, round)) {
        bench.progress(peer.name, point, `round ${round + 1} of ${scale.rounds}`)
        const work = () => load.order(order(peer.target(TEST_URI), scale.sliceMs))
        recordCalls(bench, peer, point, round, await measure(bench, peer, stage.driver, load.pid, work))
      }
    }
  })
}
