import { turn } from '../bench.js'
import { measure, recordCalls } from '../measure.js'
import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'

/** Crowds of several sizes call CONNECT_GET_LIB_VERSION as fast as they get replies. */
export const smallCalls: Entry = {
  name: 'small-calls',
  claim: 'A small call costs no more CPU than through HAProxy, and a fifth of what it costs through virtproxyd.',
  goals: [
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 1.0, at: ({ clients }) => Number(clients) >= 16 },
    { figure: 'CPU of the proxy', against: 'libvirtd', limit: 0.2, at: ({ clients }) => Number(clients) >= 16 },
    { figure: 'latency p50', against: 'haproxy', limit: 1.1, at: ({ clients }) => clients === 1 },
    { figure: 'latency p99', against: 'haproxy', limit: 1.1, at: ({ clients }) => clients === 1 },
    { figure: 'rate', against: 'haproxy', limit: 1.0, at: ({ clients }) => clients === 128 },
    { figure: 'rate', against: 'libvirtd', limit: 2.0, at: ({ clients }) => clients === 128 }
  ],
  run: bench => bench.onStage({}, async stage => {
    const { scale } = bench
    for (const clients of scale.clients) {
      const point = { clients }
      const crowds = await Promise.all(stage.peers.map(async peer => {
        const load = stage.load()
        await load.open(peer.target(TEST_URI), clients)
        return { peer, load }
      }))
      const call = (ms: number) => ({ do: 'closed-loop', call: GET_LIB_VERSION, ms }) as const
      for (const { peer, load } of crowds) {
        bench.progress(peer.name, point, 'warming up')
        await load.order(call(scale.warmMs))
      }
      for (let round = 0; round < scale.rounds; round++) {
        for (const { peer, load } of turn(crowds, round)) {
          bench.progress(peer.name, point, `round ${round + 1} of ${scale.rounds}`)
          const work = () => load.order(call(scale.sliceMs))
          recordCalls(bench, peer, point, round, await measure(bench, peer, stage.driver, load.pid, work))
        }
      }
      await Promise.all(crowds.map(({ load }) => load.stop()))
    }
  })
}
