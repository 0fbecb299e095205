import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { LocalDrivers, type OpenServices } from '#workers/driver/open-driver.js'
import { Counters } from '#workers/thread/counters.js'
import { Turns } from '#workers/thread/turns.js'
import { Cleanup } from '../support/cleanup.js'
import { ManualClock } from '../support/manual-clock.js'
import { MemoryGuest, NAME, wayTo } from '../support/shared-trial.js'
import { tempDir } from '../support/temp-dir.js'
import { threadIo } from '../support/thread-io.js'

describe('a connection to a driver daemon', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is closed when the kernel has no room for it among those that are polled', async () => {
    const path = join(await tempDir(cleanup), 'virtqemud-sock')
    const daemon = createServer().listen(path)
    cleanup.defer(() => Promise.resolve(void daemon.close()))
    await once(daemon, 'listening')
    const accepted = once(daemon, 'connection') as Promise<[Socket]>
    const io = threadIo(cleanup)
    const poller = { add: () => { throw new Error('no room') } }
    const services = {
      clock: new ManualClock().asClock, turns: new Turns(() => undefined), counters: new Counters(), io: { ...io, poller },
      settings: { keepalive: { intervalMs: 0, count: 0 }, driverConnectTimeoutMs: 1000, driverOpenTimeoutMs: 1000 }
    }
    const order = {
      way: wayTo(NAME, path), readonly: false, identity: {}, user: new MemoryGuest(),
      log: { log: () => undefined, logTrouble: () => undefined }
    }
    const { opened } = new LocalDrivers(services as unknown as OpenServices, undefined).open(order)
    expect(String(await opened.catch((error: unknown) => error))).to.equal('Error: no room')
    const [socket] = await accepted
    await once(socket.resume(), 'close')
  })
})
