import { join } from 'node:path'
import { expect } from 'chai'
import { MESSAGE } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { AnsweringDriver, downloadArguments } from '../support/answering-driver.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const MIB = 1024 * 1024
/** So much is moved in a few seconds. */
const ENOUGH_MIB = 150

describe('a thread with clients that move bulk data', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('serves small calls in between: one for each few turns of the bulk clients', async () => {
    const dir = await tempDir(cleanup)
    await AnsweringDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
    const broker = await Broker.start(cleanup, { driver_socket_dir: dir, actor_threads: 1 })
    const open = async (): Promise<RawClient> => {
      const client = await RawClient.connect(cleanup, broker.socket)
      await client.open('qemu:///system')
      return client
    }
    const small = await open()
    const bulk = await Promise.all([open(), open(), open()])
    let busy = true
    const download = async (client: RawClient): Promise<void> => {
      for (let serial = 100; busy; serial++) {
        client.post(REMOTE.storageVolDownload, downloadArguments(32, 260_000), { serial })
        for (let end = false; !end;) end = (await client.next({ type: MESSAGE.stream, serial })).payload.length === 0
        client.inbox.length = 0
      }
    }
    const downloads = bulk.map(download)
    const moved = (): number => bulk.reduce((sum, { received }) => sum + received, 0) / MIB
    let calls = 0
    for (; moved() < ENOUGH_MIB; calls++) {
      expect((await small.call(REMOTE.domainGetInfo, pattern(20))).payload).to.deep.equal(pattern(20))
    }
    const ratio = calls / moved()
    busy = false
    await Promise.all(downloads)
    expect(ratio, 'small calls for each MiB').to.be.greaterThan(0.2)
  })

  // Sent faster than they can be looked at: there is always more to read.
  it('serves them beside clients that flood it with frames that it drops', async () => {
    const dir = await tempDir(cleanup)
    await AnsweringDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
    const broker = await Broker.start(cleanup, { driver_socket_dir: dir, actor_threads: 1 })
    const small = await RawClient.connect(cleanup, broker.socket)
    await small.open('qemu:///system')
    const dropped = Buffer.concat(Array.from({ length: 20_000 }, () => frame({ type: MESSAGE.reply })))
    let blocks = 0
    for (let i = 0; i < 3; i++) {
      const { socket } = await RawClient.connect(cleanup, broker.socket)
      const again = (): void => {
        blocks++
        if (!socket.destroyed) socket.write(dropped, again)
      }
      again()
    }
    await waitFor('the flood', () => blocks > 20)
    const before = blocks
    const moved = (): number => ((blocks - before) * dropped.length) / MIB
    let calls = 0
    for (; moved() < ENOUGH_MIB; calls++) await small.call(REMOTE.domainGetInfo, pattern(20))
    expect(calls / moved(), 'small calls for each MiB').to.be.greaterThan(0.2)
  })
})
