import { expect } from 'chai'
import { MESSAGE, PROGRAM, type Header } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { FAMILIES, PROMOTIONS, type Promotion } from '#workers/thread/metric-families.js'
import { eachTrial, type TimedTrial } from '../support/shared-trial.js'

const AUTODESTROY = Buffer.from([0, 0, 0, 0, 0, 0, 0, 2])

/** A call that needs a connection of its own for each reason that is told. */
const CALLS: Readonly<Record<Promotion, readonly [proc: number, payload?: Buffer, header?: Partial<Header>]>> = {
  stream: [REMOTE.domainOpenConsole],
  descriptors: [REMOTE.domainGetInfo, Buffer.alloc(4), { type: MESSAGE.callWithFds }],
  // A qemu monitor event with a filter.
  registration: [4, Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x61, 0, 0, 0, 0, 0, 0, 1]), { prog: PROGRAM.qemu }],
  autodestroy: [REMOTE.domainCreateXml, AUTODESTROY],
  migration: [REMOTE.domainMigratePerform3Params],
  descriptorGroup: [REMOTE.domainFdAssociate],
  unknown: [9999],
  long: [REMOTE.domainGetInfo, Buffer.alloc(70_000)]
}

describe('connections that clients get for themselves', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  for (const reason of PROMOTIONS) {
    it(`are counted by why: ${reason}`, async () => {
      const guest = await trial.open()
      guest.bound = true
      guest.call(...CALLS[reason])
      await trial.time.until('its own', () => trial.upstreams.length === 2)
      const counts = PROMOTIONS.map((_, index) => trial.counters.get(FAMILIES.promotions, index))
      expect(counts).to.deep.equal(PROMOTIONS.map(one => (one === reason ? 1 : 0)))
      await trial.time.until('it to be in use', () =>
        trial.links.reports(0).connections.some(({ kind, why }) => kind === 'own' && why === reason)
      )
      guest.port.close()
    })
  }
})
