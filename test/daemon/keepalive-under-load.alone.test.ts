import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { AnsweringDriver, downloadArguments } from '../support/answering-driver.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping, type FrameSocket } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { storageVolDownload: DOWNLOAD, storageVolUpload: UPLOAD } = REMOTE
const PONG = { prog: 0x6b656570, proc: 2 }

/** Milliseconds until pings are answered, the median of some. */
async function pingTime(client: FrameSocket): Promise<number> {
  client.answerPings = false
  const times: number[] = []
  for (let i = 0; i < 15; i++) {
    while (client.take(PONG) !== undefined);
    const since = performance.now()
    client.write(ping())
    await client.next(PONG)
    times.push(performance.now() - since)
    await sleep(20)
  }
  return times.sort((one, other) => one - other)[7]!
}

describe('pings are answered within a tenth of a second', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    stage = await Stage.start(cleanup)
    await AnsweringDriver.listen(cleanup, join(stage.driverDir, 'virtlxcd-sock'))
  })
  after(() => cleanup.run())

  /** A tenth of a second later, at most, than those of a client of which nobody wants anything, on this machine, now. */
  async function expectPingsAnswered(client: FrameSocket): Promise<void> {
    const idle = await stage.connect()
    const time = await pingTime(client)
    expect(time, 'ms').to.be.lessThan(100 + await pingTime(idle))
    idle.destroy()
  }

  /** Waits for four calls on a connection to the daemon, which does not answer them. */
  const windowFull = (): Promise<DriverConnection> =>
    waitFor('four calls', () => stage.driver.connections.find(({ closed, inbox }) =>
      !closed && inbox.filter(({ proc }) => proc === REMOTE.domainGetInfo).length === 4))

  it('while two hundred calls wait for a daemon that hangs', async () => {
    const { client } = await stage.open()
    stage.driver.otherwise = () => undefined
    client.write(Buffer.concat(Array.from({ length: 200 }, (_, serial) => frame({ proc: REMOTE.domainGetInfo, serial }))))
    await windowFull()
    await expectPingsAnswered(client)
    client.destroy()
    stage.driver.otherwise = call => call.payload
  })

  it('while a stream floods the client', async () => {
    const client = await stage.connect()
    await client.open('lxc:///system')
    let busy = true
    const flood = (async () => {
      for (let serial = 100; busy; serial++) {
        client.post(DOWNLOAD, downloadArguments(16, 100_000), { serial })
        for (let end = false; !end;) end = (await client.next({ type: MESSAGE.stream, serial })).payload.length === 0
      }
    })()
    await expectPingsAnswered(client)
    busy = false
    await flood
  })

  it('while its daemon has stopped in the middle of a stream packet', async () => {
    const { client } = await stage.open()
    await client.call(DOWNLOAD, downloadArguments(0, 0), { serial: 400 })
    const { latest: daemon } = stage.driver
    const packet = frame({ proc: DOWNLOAD, type: MESSAGE.stream, serial: 400, status: STATUS.continue }, pattern(262_120))
    daemon.write(packet.subarray(0, 100_000))
    const half = await client.data(400, 100_000 - HEADER_BYTES)
    await expectPingsAnswered(client)
    daemon.write(packet.subarray(100_000))
    const rest = await client.data(400, packet.length - 100_000)
    expect(Buffer.concat([half, rest]).equals(pattern(262_120))).to.equal(true)
  })

  it('while its daemon has stopped in the middle of a reply', async () => {
    const { client } = await stage.open()
    stage.driver.otherwise = () => undefined
    client.post(REMOTE.domainGetXmlDesc, undefined, { serial: 400 })
    const { call, daemon } = await stage.driver.taken({ proc: REMOTE.domainGetXmlDesc })
    const reply = frame({ ...call, type: MESSAGE.reply }, pattern(500_000))
    daemon.write(reply.subarray(0, 300_000))
    await expectPingsAnswered(client)
    daemon.write(reply.subarray(300_000))
    expect((await client.next({ serial: 400 })).payload.equals(pattern(500_000))).to.equal(true)
    stage.driver.otherwise = call => call.payload
  })

  it('or there is a sign of life twice a second where they cannot be: the daemon takes no more of an upload', async () => {
    const { client } = await stage.open(stage.broker.socket)
    await client.call(REMOTE.connectSupportsFeature, encodeFeature(10))
    await client.call(UPLOAD, downloadArguments(0, 0), { serial: 500 })
    const { latest: daemon } = stage.driver
    daemon.stall()
    const packet = frame({ proc: UPLOAD, type: MESSAGE.stream, serial: 500, status: STATUS.continue }, pattern(1_000_000))
    for (let i = 0; i < 20; i++) client.write(packet)
    client.answerPings = false
    await client.next(PONG)
    const pauses: number[] = []
    for (let last = performance.now(); pauses.length < 7; last += pauses.at(-1)!) {
      await client.next(PONG)
      pauses.push(performance.now() - last)
    }
    expect(pauses.sort((one, other) => one - other)[3], 'ms between unasked pongs, the median').to.be.within(400, 1000)
    daemon.goOn()
    for (let i = 0; i < 20; i++) await daemon.next({ type: MESSAGE.stream })
    await expectPingsAnswered(client)
  })

  it('by the broker to a daemon whose window is full', async () => {
    const { client } = await stage.open()
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= 50; serial++) client.post(REMOTE.domainGetInfo, undefined, { serial })
    await expectPingsAnswered(await windowFull())
    stage.driver.otherwise = call => call.payload
  })
})
