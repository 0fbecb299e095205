import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'

/** As small-calls, in front of a driver that costs next to nothing: the proxy sets the pace. */
export const proxyLimit: Entry = {
  name: 'proxy-limit',
  claim: 'When the driver is no bottleneck, the broker passes on as many calls a second as HAProxy.',
  goals: [
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 1.0 },
    { figure: 'rate', against: 'haproxy', limit: 1.0 },
    { figure: 'rate', against: 'libvirtd', limit: 2.0 }
  ],
  run: bench => bench.onStages({ driver: 'answering' }, async (stage, rounds) => {
    const clients = bench.scale.clients.at(-1)!
    const crowds = await stage.crowds(TEST_URI, clients)
    const contenders = calling(crowds, GET_LIB_VERSION)
    await inTurns(bench, { clients }, contenders, {}, rounds)
  })
}
