import { join } from 'node:path'
import { expect } from 'chai'
import { ADMIN } from '#protocol/procedures.js'
import { flags } from '../support/admin-calls.js'
import { AdminConnection } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { waitFor } from '../support/waiting.js'

const LIMIT = 5

describe('connections to the admin socket that say nothing', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('lose their places after ten seconds; who has called something may stay', async () => {
    const broker = await Broker.start(cleanup, { admin_max_clients: LIMIT })
    const admin = await AdminConnection.to(cleanup, broker)
    await admin.ask(ADMIN.connectOpen, flags())
    const crowd = new SilentCrowd(cleanup)
    // Half a frame is nothing.
    await crowd.join(LIMIT - 1, join(broker.dir, 'libvirt-admin-sock'), Buffer.from([0, 0, 0, 40, 6]))
    const late = await AdminConnection.to(cleanup, broker)
    const serial = late.post(ADMIN.connectGetLibVersion)
    await admin.ask(ADMIN.connectOpen, flags())
    expect(await admin.limits('admin')).to.include({ nclients: LIMIT, nclients_max: LIMIT })
    await waitFor('some of them to be closed', () => crowd.closed > 0)
    await late.client.next({ serial })
    await admin.ask(ADMIN.connectOpen, flags())
  })
})
