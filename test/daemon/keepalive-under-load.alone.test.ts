import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { AnsweringDriver, downloadArguments } from '../support/answering-driver.js'
import { Cleanup } from '../support/cleanup.js'
import { frame, ping } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const { storageVolDownload: DOWNLOAD, storageVolUpload: UPLOAD } = REMOTE
const PONG = { prog: 0x6b656570, proc: 2 }

/** Milliseconds until pings are answered, the median of some. */
async function pingTime(client: RawClient): Promise<number> {
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

describe('pings are answered within a tenth of a second', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    stage = await Stage.start(cleanup)
    await AnsweringDriver.listen(cleanup, join(stage.driverDir, 'virtlxcd-sock'))
  })
  after(() => cleanup.run())

  it('while two hundred calls wait for a daemon that hangs', async () => {
    const { client, daemon } = await stage.open()
    stage.driver.otherwise = () => undefined
    client.write(Buffer.concat(Array.from({ length: 200 }, (_, serial) => frame({ proc: REMOTE.domainGetInfo, serial }))))
    await daemon.next({ serial: 3 })
    expect(await pingTime(client)).to.be.lessThan(100)
    stage.driver.otherwise = call => call.payload
  })

  it('while a stream floods the client', async () => {
    const client = await stage.connect()
    await client.open('lxc:///system')
    let busy = true
    const flood = (async () => {
      for (let serial = 100; busy; serial++) {
        client.post(DOWNLOAD, downloadArguments(16, 100_000), { serial })
        for (let end = false; !end; ) end = (await client.next({ type: MESSAGE.stream, serial })).payload.length === 0
      }
    })()
    expect(await pingTime(client)).to.be.lessThan(100)
    busy = false
    await flood
  })

  it('while its daemon has stopped in the middle of a stream packet', async () => {
    const { client, daemon } = await stage.open()
    await client.call(DOWNLOAD, downloadArguments(0, 0), { serial: 400 })
    const packet = frame({ proc: DOWNLOAD, type: MESSAGE.stream, serial: 400, status: STATUS.continue }, pattern(262_120))
    daemon.write(packet.subarray(0, 100_000))
    const half = await client.data(400, 100_000 - HEADER_BYTES)
    expect(await pingTime(client)).to.be.lessThan(100)
    daemon.write(packet.subarray(100_000))
    const rest = await client.data(400, packet.length - 100_000)
    expect(Buffer.concat([half, rest]).equals(pattern(262_120))).to.equal(true)
  })

  it('while its daemon has stopped in the middle of a reply', async () => {
    const { client, daemon } = await stage.open()
    stage.driver.otherwise = () => undefined
    client.post(REMOTE.domainGetXmlDesc, undefined, { serial: 400 })
    const reply = frame({ ...(await daemon.next({ serial: 400 })), type: MESSAGE.reply }, pattern(500_000))
    daemon.write(reply.subarray(0, 300_000))
    expect(await pingTime(client)).to.be.lessThan(100)
    daemon.write(reply.subarray(300_000))
    expect((await client.next({ serial: 400 })).bytes.equals(reply)).to.equal(true)
    stage.driver.otherwise = call => call.payload
  })

  it('or there is a sign of life twice a second where they cannot be: the daemon takes no more of an upload', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    await client.call(REMOTE.connectSupportsFeature, encodeFeature(10))
    await client.call(UPLOAD, downloadArguments(0, 0), { serial: 500 })
    daemon.stall()
    const packet = frame({ proc: UPLOAD, type: MESSAGE.stream, serial: 500, status: STATUS.continue }, pattern(1_000_000))
    for (let i = 0; i < 20; i++) client.write(packet)
    client.answerPings = false
    await sleep(1000)
    while (client.take(PONG) !== undefined);
    await sleep(3000)
    const signs = client.inbox.filter(({ prog, proc }) => prog === PONG.prog && proc === PONG.proc).length
    expect(signs, 'unasked pongs in 3 s').to.be.within(4, 8)
    daemon.goOn()
    for (let i = 0; i < 20; i++) await daemon.next({ type: MESSAGE.stream })
    expect(await pingTime(client)).to.be.lessThan(100)
  })

  it('by the broker to a daemon whose window is full', async () => {
    const { client, daemon } = await stage.open()
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= 50; serial++) client.post(REMOTE.domainGetInfo, undefined, { serial })
    await daemon.next({ serial: 4 })
    daemon.answerPings = false
    daemon.write(ping())
    expect((await daemon.next({ ...PONG }, 100)).payload).to.have.length(0)
    stage.driver.otherwise = call => call.payload
  })
})
