import { MIB } from '../measure.js'
import { inTurns } from '../rounds.js'
import { download, storageUri, upload, withVolumes } from './volumes.js'
import type { Entry } from './entry.js'

/** One client downloads, or uploads, a storage volume. */
export const streams: Entry = {
  name: 'streams',
  claim: 'A volume is transferred about as fast as without anything in between.',
  goals: [
    { figure: 'rate', against: 'direct', limit: 0.91 },
    { figure: 'rate', against: 'libvirtd', limit: 1.0 }
  ],
  needsLibvirtd: true,
  run: bench => bench.onStage({ driver: 'libvirtd', storage: true }, async stage => {
    const bytes = bench.scale.streamBytes
    const crowds = await withVolumes(await stage.crowds(storageUri(), 1), bytes)
    // Upload first: what is downloaded then has really been written.
    for (const [direction, transfer] of Object.entries({ upload, download })) {
      const contenders = crowds.map(({ peer, load, volume }) => {
        const order = transfer(volume, bytes)
        return { peer, load, work: () => load.order(order) }
      })
      await inTurns(bench, { [`MiB ${direction}`]: bytes / 2 ** 20 }, contenders, {
        costBy: MIB,
        rateOf: MIB,
        latency: false
      })
    }
  })
}
