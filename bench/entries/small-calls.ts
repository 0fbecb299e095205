import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling } from './contenders.js'
import type { Bench } from '../bench.js'
import { TEST_URI, type Entry } from './entry.js'

/** Crowds of several sizes call CONNECT_GET_LIB_VERSION as fast as they get replies. */
export const smallCalls: Entry = {
  name: 'small-calls',
  claim: 'A small call costs about the CPU that it costs through HAProxy, and a fifth of what it costs through virtproxyd.',
  goals: [
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 1.0, at: ({ clients }) => Number(clients) >= 16 },
    { figure: 'CPU of the proxy', against: 'libvirtd', limit: 0.2, at: ({ clients }) => Number(clients) >= 16 },
    { figure: 'latency p50', against: 'haproxy', limit: 1.1, at: ({ clients }) => clients === 1 },
    { figure: 'latency p99', against: 'haproxy', limit: 1.1, at: ({ clients }) => clients === 1 },
    { figure: 'rate', against: 'haproxy', limit: 1.0, at: ({ clients }) => clients === 128 },
    { figure: 'rate', against: 'libvirtd', limit: 2.0, at: ({ clients }) => clients === 128 }
  ],
  run: bench => callInCrowds(bench)
}

/** The same with shared driver connections. */
export const sharedCalls: Entry = {
  name: 'shared-calls',
  claim: 'With shared driver connections, the daemon answers many clients that call at once more than without a proxy.',
  goals: [
    { figure: 'rate', against: 'haproxy', limit: 1.1, at: ({ clients }) => clients === 128 },
    { figure: 'rate', against: 'direct', limit: 0.8, at: ({ clients }) => clients === 128 },
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 0.85, at: ({ clients }) => clients === 128 }
  ],
  run: bench => callInCrowds(bench, true)
}

const callInCrowds = (bench: Bench, sharing = false): Promise<void> =>
  bench.onStages({ sharing }, async (stage, rounds) => {
    for (const clients of bench.scale.clients) {
      const crowds = await stage.crowds(TEST_URI, clients)
      const contenders = calling(crowds, GET_LIB_VERSION)
      await inTurns(bench, { clients }, contenders, {}, rounds)
      await stage.disperse()
    }
  })
