import { MIB } from '../measure.js'
import { inTurns } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling, comingAndGoing } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'
import { download, storageUri, withVolumes } from './volumes.js'

const AT_A_TIME = 16

/** The same as without TLS: small calls, clients that come and go, a download. HAProxy ends TLS as the broker does. */
export const tls: Entry = {
  name: 'tls',
  claim: 'A call over TLS costs at most a fifth more CPU than through HAProxy with TLS.',
  goals: [
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 1.2, at: ({ clients }) => Number(clients) >= 16 },
    { figure: 'CPU of the proxy', against: 'haproxy', limit: 1.5, at: point => point['at a time'] === AT_A_TIME }
  ],
  needsLibvirtd: true,
  run: bench => bench.onStage({ driver: 'libvirtd', storage: true, tls: { bothSides: true, bits: 2048 } }, async stage => {
    for (const clients of bench.scale.clients) {
      const crowds = await stage.crowds(TEST_URI, clients)
      const contenders = calling(crowds, GET_LIB_VERSION)
      await inTurns(bench, { clients }, contenders)
      await stage.disperse()
    }
    const cycling = comingAndGoing(stage, AT_A_TIME)
    await inTurns(bench, { 'at a time': AT_A_TIME }, cycling)
    await stage.disperse()
    const bytes = bench.scale.streamBytes
    const crowds = await withVolumes(await stage.crowds(storageUri(), 1), bytes)
    const downloading = crowds.map(({ peer, load, volume }) => {
      const order = download(volume, bytes)
      return { peer, load, work: () => load.order(order) }
    })
    await inTurns(bench, { 'MiB download': bytes / 2 ** 20 }, downloading, {
      costBy: MIB,
      rateOf: MIB,
      latency: false
    })
  })
}
