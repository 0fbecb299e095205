import { expect } from 'chai'
import { CODE, systemError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { streamFinish } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping, type Frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { domainSave: SAVE, connectClose: CLOSE, storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD } = REMOTE
const COUNT = 20
const saves = Buffer.concat(Array.from({ length: COUNT }, (_, serial) => frame({ proc: SAVE, serial }, pattern(100, serial))))
const close = frame({ proc: CLOSE, serial: COUNT })

/** Serials of the replies, in their order. */
const answered = (client: RawClient): number[] => client.inbox.filter(({ type }) => type === MESSAGE.reply).map(({ serial }) => serial)
/** Has these calls answered. They are put down by their arguments, as they come. */
function watchCalls({ driver }: Stage): Buffer[] {
  const came: Buffer[] = []
  driver.on(SAVE, ({ payload }) => {
    came.push(payload)
    return payload
  })
  return came
}

const all = Array.from({ length: COUNT }, (_, serial) => pattern(100, serial))
const inOrder = Array.from({ length: COUNT }, (_, serial) => serial)

describe('a client that leaves', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const over = {
    TCP: (stage: Stage): number | string => stage.broker.tcpPort,
    UNIX: (stage: Stage): number | string => stage.broker.socket
  }

  for (const [name, where] of Object.entries(over)) {
    it(`gets all that it asked for before CONNECT_CLOSE done and answered, over ${name}`, async () => {
      const stage = await Stage.start(cleanup)
      const came = watchCalls(stage)
      const { client } = await stage.open(where(stage))
      client.write(saves, close)
      await client.end()
      // Calls go to several connections, and overtake each other, where the daemon is slow.
      expect(answered(client)).to.have.members([...inOrder, COUNT])
      expect(answered(client).at(-1)).to.equal(COUNT)
      expect(came).to.have.deep.members(all)
    })

    it(`gets it when it only sends nothing more, over ${name}`, async () => {
      const stage = await Stage.start(cleanup)
      const came = watchCalls(stage)
      const { client } = await stage.open(where(stage))
      client.socket.end(saves)
      await client.end()
      expect(answered(client)).to.have.members(inOrder)
      expect(came).to.have.deep.members(all)
    })

    it(`gets nothing more, and its daemon is rid of it at once, when it is gone altogether, over ${name}`, async () => {
      const stage = await Stage.start(cleanup, { close_timeout: 1000 })
      stage.driver.on(SAVE, () => undefined)
      const { client, daemon } = await stage.open(where(stage))
      client.write(saves)
      await daemon.next({ proc: SAVE })
      client.destroy()
      await daemon.end()
    })

    it(`is not waited for when it is gone after CONNECT_CLOSE, over ${name}`, async () => {
      const stage = await Stage.start(cleanup, { close_timeout: 1000 })
      stage.driver.on(SAVE, () => undefined)
      const { client, daemon } = await stage.open(where(stage))
      client.write(saves, close)
      await daemon.next({ proc: SAVE })
      client.destroy()
      await daemon.end()
    })
  }

  it('does not wait for ever: close_timeout bounds it, and CONNECT_CLOSE is answered', async () => {
    const stage = await Stage.start(cleanup, { close_timeout: 1 })
    stage.driver.on(SAVE, () => undefined)
    const { client, daemon } = await stage.open()
    client.write(saves, close)
    await client.end()
    expect(answered(client)).to.deep.equal([COUNT])
    await daemon.end()
  })

  it('has its CONNECT_OPEN answered first', async () => {
    const stage = await Stage.start(cleanup)
    const client = await stage.connect()
    client.write(frame({ proc: REMOTE.connectOpen, serial: 100 }, encodeOpen({ name: 'qemu:///system', flags: 0 })), saves, close)
    await client.end()
    const refused = (serial: number): boolean => client.inbox.some(reply => reply.serial === serial && reply.status === STATUS.error)
    expect(answered(client).at(-1)).to.equal(COUNT)
    expect(answered(client)).to.include(100)
    // They came before the connection was open.
    for (const serial of inOrder) expect(refused(serial)).to.equal(true)
  })

  it('has the end of an upload that it finished confirmed first, with all data there', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(UPLOAD, () => Buffer.alloc(0))
    const { client } = await stage.open()
    await client.call(UPLOAD, undefined, { serial: 7 })
    const { latest: daemon } = stage.driver
    const data = pattern(300_000)
    client.write(
      frame({ proc: UPLOAD, type: MESSAGE.stream, serial: 7, status: STATUS.continue }, data),
      streamFinish({ ...header(UPLOAD), serial: 7 }), close
    )
    const finish = await daemon.next({ type: MESSAGE.stream, serial: 7, status: STATUS.ok })
    expect(client.closed).to.equal(false)
    daemon.confirm(finish)
    await client.end()
    expect(client.take({ type: MESSAGE.stream, status: STATUS.ok, serial: 7 }), 'the confirmation').not.to.equal(undefined)
    expect(client.inbox.at(-1)).to.include({ type: MESSAGE.reply, serial: COUNT })
    expect(daemon.take({ type: MESSAGE.stream, serial: 7 })!.payload.equals(data)).to.equal(true)
  })

  it('does not wait for a stream that goes on and on, once it has asked to be let go', async () => {
    const stage = await Stage.start(cleanup, { close_timeout: 1000 })
    stage.driver.on(DOWNLOAD, () => Buffer.alloc(0))
    const { client, daemon } = await stage.open()
    await client.call(DOWNLOAD, undefined, { serial: 7 })
    client.write(close)
    await client.end()
    await daemon.end()
  })

  it('gets the rest of a download, if it only sends nothing more', async () => {
    const stage = await Stage.start(cleanup)
    let call: Frame
    stage.driver.on(DOWNLOAD, found => ((call = found), Buffer.alloc(0)))
    const { client } = await stage.open()
    await client.call(DOWNLOAD, undefined, { serial: 7 })
    const { latest: daemon } = stage.driver
    client.socket.end()
    const data = pattern(100_000)
    daemon.data(call!, data)
    daemon.confirm(call!)
    expect((await client.data(7, data.length)).equals(data)).to.equal(true)
    await client.end()
  })

  it('has its calls failed, and CONNECT_CLOSE answered, when the daemon dies meanwhile', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(SAVE, () => undefined)
    const { client, daemon } = await stage.open()
    client.write(saves, close)
    await daemon.next({ proc: SAVE })
    for (const connection of stage.driver.connections) connection.destroy()
    await client.end()
    expect(new Set(answered(client))).to.deep.equal(new Set([...inOrder, COUNT]))
    expect(answered(client).at(-1)).to.equal(COUNT)
  })

  it('says goodbye to its daemon, whether it asked for that or just went', async () => {
    const stage = await Stage.start(cleanup)
    for (const leave of [(client: RawClient) => client.write(close), (client: RawClient) => client.destroy()]) {
      const { client, daemon } = await stage.open()
      leave(client)
      await daemon.end()
      expect(daemon.serialsOf(CLOSE)).to.have.length(1)
    }
  })

  it('lets its daemon say something else before it answers the goodbye', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(CLOSE, () => undefined)
    const { client, daemon } = await stage.open()
    client.destroy()
    const goodbye = await daemon.next({ proc: CLOSE })
    daemon.answerPings = false
    daemon.event(REMOTE.domainEventLifecycle, pattern(100))
    daemon.write(ping())
    await daemon.next({ prog: PROGRAM.keepalive })
    daemon.reply(goodbye)
    await daemon.end()
  })

  it('keeps nothing of a daemon that hangs up, with or without an answer to the goodbye', async () => {
    const stage = await Stage.start(cleanup)
    const { pid } = stage.broker.program
    const others = await stage.open(stage.broker.socket)
    const before = openDescriptors(pid)
    for (const answer of [true, false]) {
      stage.driver.on(CLOSE, (call, connection) => {
        if (answer) connection.reply(call)
        connection.socket.end()
        return undefined
      })
      const { client, daemon } = await stage.open()
      client.write(close)
      await daemon.end()
      await waitFor('the descriptors to be closed', () => openDescriptors(pid) <= before)
    }
    expect(stage.broker.program.stderr).not.to.match(/error/)
    expect((await others.client.call(SAVE)).status).to.equal(STATUS.ok)
  })

  it('costs a daemon that does not answer the goodbye no connection for long', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(CLOSE, () => undefined)
    const { client, daemon } = await stage.open()
    client.destroy()
    await daemon.next({ proc: CLOSE })
    await daemon.end(15_000)
  })

  it('lets the broker stop while a daemon does not answer the goodbye', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(CLOSE, () => undefined)
    await stage.open()
    await stage.broker.program.stop()
    expect((await stage.broker.program.exited).status).to.equal(0)
  })
})

const header = (proc: number) => ({ prog: 0x20008086, vers: 1, proc, type: MESSAGE.call, serial: 0, status: STATUS.ok })

describe('a hole that the daemon cannot make', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('ends its stream with the reason, and nothing else', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(UPLOAD, () => Buffer.alloc(0))
    const { client } = await stage.open()
    const sparse = Buffer.alloc(4)
    sparse.writeUInt32BE(1)
    await client.call(UPLOAD, sparse, { serial: 7 })
    const { latest: daemon } = stage.driver
    client.send({ proc: UPLOAD, type: MESSAGE.streamHole, serial: 7, status: STATUS.continue }, Buffer.alloc(12))
    const hole = await daemon.next({ type: MESSAGE.streamHole, serial: 7 })
    daemon.fail(hole, systemError(28, 'unable to write to pool/full.img: No space left on device'))
    const failed = await client.next({ serial: 7 })
    expect(failed).to.include({ type: MESSAGE.stream, status: STATUS.error, proc: UPLOAD })
    expect(failed.payload.readInt32BE(0)).to.equal(CODE.systemError)
    expect(failed.payload.toString('latin1')).to.match(/full\.img: No space left/)
    client.send({ proc: UPLOAD, type: MESSAGE.stream, serial: 7, status: STATUS.continue }, pattern(100))
    expect((await client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
    expect(client.closed).to.equal(false)
  })
})

describe('a call that waits for no hypervisor', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const stuck = async (stage: Stage): Promise<{ client: RawClient; daemon: DriverConnection }> => {
    stage.driver.on(REMOTE.domainGetXmlDesc, () => undefined)
    const { client, daemon } = await stage.open()
    for (let i = 0; i < 8; i++) client.post(REMOTE.domainGetXmlDesc)
    await waitFor('the window to be full', () => daemon.serialsOf(REMOTE.domainGetXmlDesc).length === 4)
    return { client, daemon }
  }

  it('passes those that are stuck, and those that wait', async () => {
    const stage = await Stage.start(cleanup)
    const { client, daemon } = await stuck(stage)
    for (let i = 0; i < 3; i++) expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
    expect(daemon.serialsOf(REMOTE.domainGetXmlDesc)).to.have.length(4)
  })

  it('is one at a time on its connection', async () => {
    const stage = await Stage.start(cleanup, { driver_sharing: 'off' })
    stage.driver.on(REMOTE.connectGetLibVersion, () => undefined)
    const { client } = await stuck(stage)
    for (let i = 0; i < 3; i++) client.post(REMOTE.connectGetLibVersion)
    const { daemon } = await stage.driver.taken({ proc: REMOTE.connectGetLibVersion })
    client.post(REMOTE.connectSupportsFeature, Buffer.from([0, 0, 0, 10]), { serial: 999 })
    await client.next({ serial: 999 })
    expect(daemon.serialsOf(REMOTE.connectGetLibVersion)).to.have.length(1)
  })

  it('makes no dead peer of a daemon that reads nothing meanwhile', async () => {
    const stage = await Stage.start(cleanup, { driver_sharing: 'off', keepalive_interval: 1, keepalive_count: 1 })
    stage.driver.on(REMOTE.connectGetLibVersion, () => undefined)
    const { client } = await stuck(stage)
    client.post(REMOTE.connectGetLibVersion, undefined, { serial: 500 })
    const { call, daemon } = await stage.driver.taken({ proc: REMOTE.connectGetLibVersion })
    daemon.answerPings = false
    daemon.pings.length = 0
    // Unasked PONGs tell that time has gone by.
    await waitFor('ten signs of life', () => daemon.inbox.filter(({ proc, type }) => type === MESSAGE.event && proc === 2).length >= 10)
    expect(daemon.closed).to.equal(false)
    daemon.reply(call)
    await client.next({ serial: 500 })
  })
})
