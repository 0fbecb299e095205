import { MIB } from '../measure.js'
import { inTurns } from '../rounds.js'
import { EMPTY_REPLY, nodeListDevices } from './calls.js'
import { calling } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'

const CLIENTS = 4
const HEADER_AND_COUNT = 32
const NAME = 256

/** Replies from a bare header to 16 MiB, the largest that libvirt's protocol has. */
export const payloads: Entry = {
  name: 'payloads',
  claim: 'Replies of any size pass at the rate of HAProxy.',
  goals: [{ figure: 'rate', against: 'haproxy', limit: 0.9 }],
  run: bench => bench.onStage({ driver: 'answering' }, async stage => {
    const crowds = await stage.crowds(TEST_URI, CLIENTS)
    const measureReplies = (bytes: number, call: typeof EMPTY_REPLY): Promise<void> => {
      const contenders = calling(crowds, call)
      return inTurns(bench, { 'bytes a reply': bytes }, contenders, { rateOf: MIB })
    }
    await measureReplies(28, EMPTY_REPLY)
    for (const names of bench.scale.payloadNames) {
      await measureReplies(HEADER_AND_COUNT + NAME * names, nodeListDevices(names))
    }
  })
}
