import { expect } from 'chai'
import { rpcError, systemError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const SCREENSHOT = REMOTE.domainScreenshot

/** One thread of libvirtd answers a call and another sends the stream's data: sometimes the data comes first. */
describe('stream data that overtakes the reply of its call', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  before(async () => {
    stage = await Stage.start(cleanup)
    stage.driver.on(SCREENSHOT, () => undefined)
  })
  after(() => cleanup.run())
  beforeEach(async () => ({ client } = await stage.open()))
  afterEach(() => client.destroy())

  it('reaches the client, as does its end', async () => {
    const serial = client.post(SCREENSHOT)
    const { call, daemon } = await stage.driver.taken({ proc: SCREENSHOT })
    daemon.data(call, Buffer.from('picture'))
    daemon.data(call, Buffer.alloc(0))
    daemon.reply(call)
    expect((await client.next()).payload.toString()).to.equal('picture')
    expect(await client.next()).to.include({ type: MESSAGE.stream, status: STATUS.continue })
    expect(await client.next()).to.include({ type: MESSAGE.reply, status: STATUS.ok, serial })
  })

  it('ends with the error that comes before the reply', async () => {
    client.post(SCREENSHOT)
    const { call, daemon } = await stage.driver.taken({ proc: SCREENSHOT })
    daemon.breakStream(call, rpcError('no picture'))
    daemon.reply(call)
    expect(await client.next()).to.include({ type: MESSAGE.stream, status: STATUS.error })
    expect(await client.next()).to.include({ type: MESSAGE.reply, status: STATUS.ok })
    daemon.data(call, Buffer.from('late'))
    expect((await client.call(REMOTE.domainGetInfo)).type).to.equal(MESSAGE.reply)
    expect(client.inbox).to.deep.equal([])
  })

  it('is not followed by a stream error when the daemon dies before its reply: the call fails', async () => {
    const serial = client.post(SCREENSHOT)
    const { call, daemon } = await stage.driver.taken({ proc: SCREENSHOT })
    daemon.data(call, Buffer.from('half a'))
    await client.next({ type: MESSAGE.stream })
    daemon.destroy()
    expect(await client.next()).to.include({ type: MESSAGE.reply, status: STATUS.error, serial })
    await client.call(REMOTE.domainGetInfo)
    expect(client.inbox).to.deep.equal([])
  })

  it('is nothing to a call that is refused', async () => {
    client.post(SCREENSHOT)
    const { call, daemon } = await stage.driver.taken({ proc: SCREENSHOT })
    daemon.fail(call, systemError(5, 'no screen'))
    daemon.data(call, Buffer.from('stray'))
    expect(await client.next()).to.include({ type: MESSAGE.reply, status: STATUS.error })
    await client.call(REMOTE.domainGetInfo)
    expect(client.inbox).to.deep.equal([])
  })
})
