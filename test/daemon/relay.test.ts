import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { templated } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { decodeText, encodeSupported } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const GET_XML = REMOTE.domainGetXmlDesc
/**
 * Each client has a driver connection of its own: that what goes over it is, byte for byte, what its client sent and gets,
 * and what goes at once, is what is looked at. How it is with those that clients share stands in shared-connections.test.ts
 * and session/shared-*.test.ts.
 */
const OWN = { driver_sharing: 'off' }

describe('calls and replies', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  let daemon: DriverConnection
  before(async () => (stage = await Stage.start(cleanup, OWN)))
  after(() => cleanup.run())
  beforeEach(async () => {
    stage.driver.otherwise = call => call.payload
    ;({ client, daemon } = await stage.open())
  })
  afterEach(() => client.destroy())

  it('pass unchanged, byte for byte', async () => {
    const sent = frame({ proc: GET_XML, serial: 0xfffffffe }, pattern(1000))
    client.write(sent)
    const reply = await client.next()
    expect(daemon.calls.at(-1)!.bytes).to.deep.equal(sent)
    expect(reply.bytes).to.deep.equal(frame({ proc: GET_XML, serial: 0xfffffffe, type: MESSAGE.reply }, pattern(1000)))
  })

  it('pass in any order', async () => {
    stage.driver.otherwise = () => undefined
    const serials = [1, 2, 3, 4].map(serial => client.post(GET_XML, undefined, { serial }))
    const calls = []
    for (const serial of serials) calls.push(await daemon.next({ serial }))
    for (const call of calls.reverse()) daemon.reply(call)
    for (const serial of serials.reverse()) expect(await client.next()).to.include({ serial })
  })

  it('may have the same serial', async () => {
    const first = client.call(GET_XML, pattern(8, 1), { serial: 5 })
    const second = client.call(REMOTE.domainGetInfo, pattern(8, 2), { serial: 5 })
    expect((await first).status + (await second).status).to.equal(0)
  })

  it('carry the daemon\'s errors as they are', async () => {
    const error = templated(42, 10, 'Domain not found: %1$s', "no domain with matching name 'x'")
    stage.driver.otherwise = () => error
    const { bytes } = await client.call(GET_XML)
    expect(bytes.subarray(28).includes("Domain not found: no domain with matching name 'x'")).to.equal(true)
    expect(bytes.readUInt32BE(24)).to.equal(STATUS.error)
  })

  for (const [what, prog, proc] of [
    ['newer than the broker', PROGRAM.remote, 460],
    ['far newer than the broker', PROGRAM.remote, 100_000],
    ['of the qemu program', PROGRAM.qemu, 1],
    ['newer, of the qemu program', PROGRAM.qemu, 99],
    ['of the lxc program', PROGRAM.lxc, 1]
  ] as const) {
    it(`pass when they are ${what}`, async () => {
      const reply = await client.call(proc, hex('0badcafe'), { prog })
      expect(reply).to.include({ prog, proc, status: STATUS.ok })
      expect(reply.payload).to.deep.equal(hex('0badcafe'))
    })
  }

  it('pass when they are split at every byte', async () => {
    for (const byte of frame({ proc: GET_XML, serial: 77 }, pattern(9))) {
      client.write(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    expect((await client.next()).payload).to.deep.equal(pattern(9))
  })

  it('pass when they are larger than any buffer', async () => {
    const large = pattern(9_000_001)
    const { payload } = await client.call(GET_XML, large)
    expect(payload.equals(large)).to.equal(true)
  })

  it('of the broker itself do not fall into the middle of one that is being passed on', async () => {
    const sent = frame({ proc: GET_XML, serial: 9 }, pattern(5000))
    stage.driver.otherwise = () => undefined
    daemon.answerPings = false
    client.write(sent.subarray(0, 2500))
    await client.untilRead()
    daemon.write(ping())
    await daemon.untilRead()
    client.write(sent.subarray(2500))
    expect((await daemon.next()).bytes).to.deep.equal(sent)
    expect(await daemon.next()).to.include({ prog: PROGRAM.keepalive, proc: 2 })
  })

  // Longer than those that are kept until they have come whole.
  it('of the broker itself do not wait for longer than the frame that is being passed on', async () => {
    const size = 1_500_000
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 1 })
    client.post(GET_XML, undefined, { serial: 2 })
    const first = await daemon.next({ serial: 1 })
    const second = await daemon.next({ serial: 2 })
    const replies = Buffer.concat([first, second].map(call => frame({ ...call, type: MESSAGE.reply }, pattern(size))))
    daemon.write(replies.subarray(0, 5000))
    await waitFor('the first part of a reply', () => client.received > 4000)
    client.post(REMOTE.connectGetUri, undefined, { serial: 3 })
    await client.untilRead()
    // The end of the first reply and a part of the second, in one piece.
    daemon.write(replies.subarray(5000, size + 10_000))
    expect(await client.next()).to.include({ serial: 1 })
    const uri = await client.next()
    expect(uri).to.include({ serial: 3 })
    expect(decodeText(uri.payload)).to.equal('qemu:///system')
    daemon.write(replies.subarray(size + 10_000))
    expect((await client.next()).payload.equals(pattern(size))).to.equal(true)
  })

  it('of up to 1 MiB are not begun before they have come whole, so that nothing has to wait for their end', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 1 })
    const reply = frame({ ...(await daemon.next({ serial: 1 })), type: MESSAGE.reply }, pattern(1024 * 1024 - 28))
    daemon.write(reply.subarray(0, -1))
    await daemon.untilRead()
    expect((await client.call(REMOTE.connectGetUri, undefined, { serial: 2 })).status).to.equal(STATUS.ok)
    daemon.write(reply.subarray(-1))
    expect((await client.next({ serial: 1 })).bytes.equals(reply)).to.equal(true)
  })

  it('to no call make the daemon untrustworthy: its connection ends, and the client hears of it', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 1 })
    const call = await daemon.next({ serial: 1 })
    daemon.reply({ ...call, serial: 2 })
    await daemon.end()
    const { payload } = await client.next({ serial: 1 })
    expect(payload.includes('driver daemon broke the protocol')).to.equal(true)
  })
})

describe('the calls that a daemon has at once', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  async function waiting(
    stage: Stage,
    count: number
  ): Promise<{ client: RawClient; daemon: DriverConnection }> {
    const { client, daemon } = await stage.open(stage.broker.socket)
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= count; serial++) client.post(GET_XML, pattern(serial), { serial })
    return { client, daemon }
  }

  const windows = [
    { conf: {}, window: 4 },
    { conf: { driver_max_requests: 7, max_client_requests: 50 }, window: 7 },
    { conf: { max_client_requests: 2 }, window: 2 },
    { conf: { max_client_requests: 0 }, window: 1 }
  ]
  for (const { conf, window } of windows) {
    it(`are ${window} with ${JSON.stringify(conf)}; the others wait and come in their order`, async () => {
      const stage = await Stage.start(cleanup, { ...OWN, ...conf })
      const { client, daemon } = await waiting(stage, 12)
      await daemon.next({ serial: window })
      await client.call(REMOTE.authList, undefined, { serial: 100 })
      expect(daemon.serialsOf(GET_XML)).to.deep.equal(Array.from({ length: window }, (_, i) => i + 1))
      for (let serial = 1; serial <= 12; serial++) {
        const call = daemon.take({ serial }) ?? (serial <= window ? daemon.calls.at(-1)! : await daemon.next({ serial }))
        expect(call.payload).to.deep.equal(pattern(call.serial))
        daemon.reply({ ...call, serial })
        await client.next({ serial })
      }
      expect(daemon.serialsOf(GET_XML)).to.deep.equal(Array.from({ length: 12 }, (_, i) => i + 1))
      await stage.broker.program.stop()
    })
  }

  it('do not hold up pings and what the broker answers itself', async () => {
    const stage = await Stage.start(cleanup, OWN)
    const { client } = await waiting(stage, 100)
    client.answerPings = false
    client.write(ping())
    expect(await client.next()).to.include({ prog: PROGRAM.keepalive, proc: 2 })
    expect((await client.call(REMOTE.connectGetUri, undefined, { serial: 999 })).status).to.equal(STATUS.ok)
  })

  it('do not stop a stream', async () => {
    const stage = await Stage.start(cleanup, OWN)
    const { client, daemon } = await stage.open()
    await client.call(REMOTE.storageVolUpload, undefined, { serial: 50 })
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= 20; serial++) client.post(GET_XML, undefined, { serial })
    const packet = { proc: REMOTE.storageVolUpload, serial: 50, type: MESSAGE.stream, status: STATUS.continue }
    client.send(packet, pattern(5000))
    expect((await daemon.next({ type: MESSAGE.stream })).payload).to.deep.equal(pattern(5000))
  })

  it('go on when a client has more calls waiting than there is room for, and a stream packet is half there', async () => {
    const stage = await Stage.start(cleanup, OWN)
    const { client, daemon } = await stage.open()
    await client.call(REMOTE.storageVolUpload, undefined, { serial: 5000 })
    stage.driver.otherwise = () => undefined
    const upload = { proc: REMOTE.storageVolUpload, serial: 5000, type: MESSAGE.stream, status: STATUS.continue }
    const packet = frame(upload, pattern(3000))
    const calls = Array.from({ length: 600 }, (_, i) => frame({ proc: GET_XML, serial: i + 1 }))
    client.write(...calls, packet.subarray(0, 1500))
    const held = await Promise.all([1, 2, 3, 4].map(serial => daemon.next({ serial })))
    stage.driver.otherwise = call => call.payload
    for (const call of held) daemon.reply(call)
    client.write(packet.subarray(1500), frame({ proc: GET_XML, serial: 601 }))
    expect((await client.next({ serial: 601 })).status).to.equal(STATUS.ok)
    expect((await daemon.next({ type: MESSAGE.stream })).payload).to.deep.equal(pattern(3000))
    expect(daemon.serialsOf(GET_XML)).to.deep.equal(Array.from({ length: 601 }, (_, i) => i + 1))
  })

  it('may be large: those that wait are not lost, and not kept without limit', async () => {
    const stage = await Stage.start(cleanup, OWN)
    const { client, daemon } = await waiting(stage, 4)
    const large = pattern(8_000_000)
    client.post(GET_XML, large, { serial: 5 })
    client.post(GET_XML, pattern(5), { serial: 6 })
    await client.untilStuck()
    expect(client.socket.writableLength, 'bytes that the broker has not taken').to.be.greaterThan(1_000_000)
    stage.driver.otherwise = call => call.payload
    for (const serial of [1, 2, 3, 4]) daemon.reply(await daemon.next({ serial }))
    expect((await client.next({ serial: 5 })).payload.equals(large)).to.equal(true)
    expect((await client.next({ serial: 6 })).payload).to.deep.equal(pattern(5))
  })
})

describe('events', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, OWN)))
  after(() => cleanup.run())

  it('of all programs pass unchanged and in order, between replies', async () => {
    const { client, daemon } = await stage.open()
    for (let i = 0; i < 50; i++) daemon.event(318, pattern(40, i))
    daemon.event(6, pattern(12), PROGRAM.qemu)
    client.post(GET_XML)
    for (let i = 0; i < 50; i++) {
      const { bytes } = await client.next({ type: MESSAGE.event })
      expect(bytes).to.deep.equal(frame({ proc: 318, type: MESSAGE.event, serial: 1 }, pattern(40, i)))
    }
    expect(await client.next({ prog: PROGRAM.qemu })).to.include({ proc: 6, serial: 1 })
    expect(await client.next()).to.include({ proc: GET_XML })
  })

  it('come before the connection is open to nobody', async () => {
    stage.driver.on(REMOTE.connectOpen, (_call, daemon) => {
      daemon.event(318, pattern(40))
      return Buffer.alloc(0)
    })
    const { client } = await stage.open()
    stage.driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
    expect(client.inbox).to.be.empty
  })

  it('of one client do not reach another', async () => {
    const one = await stage.open()
    const other = await stage.open()
    one.daemon.event(318, pattern(8))
    await one.client.next({ type: MESSAGE.event })
    await other.client.call(GET_XML)
    expect(other.client.inbox).to.be.empty
  })
})

describe('keepalive', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  const conf = { keepalive_interval: 1, keepalive_count: 2 }
  before(async () => (stage = await Stage.start(cleanup, conf)))
  after(() => cleanup.run())

  const KEEPALIVE = hex('0000000a')

  it('pings a client that asked for it after each interval of silence, and gives it up in the end', async () => {
    const client = await stage.connect()
    client.answerPings = false
    const start = performance.now()
    await client.call(REMOTE.connectSupportsFeature, KEEPALIVE)
    await client.end()
    expect((performance.now() - start) / 1000).to.be.greaterThan(2.5)
    expect(client.pings).to.have.length(2)
  })

  it('does not ping a client that did not ask', async () => {
    const client = await stage.connect()
    await client.call(REMOTE.authList)
    const other = await stage.connect()
    await other.call(REMOTE.connectSupportsFeature, KEEPALIVE)
    await waitFor('two intervals', () => other.pings.length >= 2)
    expect(client.pings).to.be.empty
  })

  it('leaves a client alone as long as it says anything, or answers', async () => {
    const talker = await stage.connect()
    const listener = await stage.connect()
    for (const client of [talker, listener]) await client.call(REMOTE.connectSupportsFeature, KEEPALIVE)
    talker.answerPings = false
    let pauses = 0
    for (let last = performance.now(); listener.pings.length < 3; last = performance.now()) {
      await sleep(100)
      await talker.call(REMOTE.authList)
      // A busy machine may have kept it from talking.
      if (performance.now() - last > 900) pauses++
    }
    expect(talker.pings.length).to.be.at.most(pauses)
    for (const client of [talker, listener]) expect(client.closed).to.equal(false)
  })

  it('gives up a daemon that does not answer; its client stays and is told', async () => {
    const { client, daemon } = await stage.open()
    stage.driver.otherwise = () => undefined
    stage.driver.on(REMOTE.connectSupportsFeature, () => undefined)
    daemon.answerPings = false
    daemon.pings.length = 0
    await client.call(REMOTE.connectSupportsFeature, KEEPALIVE)
    client.post(GET_XML, undefined, { serial: 70 })
    const { payload } = await client.next({ serial: 70 })
    expect(payload.includes('connection closed due to keepalive timeout')).to.equal(true)
    expect(daemon.pings).to.have.length(2)
    const asked = daemon.calls.filter(({ proc }) => proc === REMOTE.connectSupportsFeature)
    expect(asked.map(call => call.payload), 'once, that we speak keepalive').to.deep.equal([KEEPALIVE])
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    stage.driver.otherwise = call => call.payload
    stage.driver.on(REMOTE.connectSupportsFeature, () => encodeSupported(true))
  })

  it('tells a daemon whose client does not read that all is well', async () => {
    const stage = await Stage.start(cleanup, { ...OWN, ...conf })
    const { client, daemon } = await stage.open(stage.broker.socket)
    daemon.answerPings = false
    client.stall()
    stage.driver.otherwise = () => Buffer.alloc(8_000_000)
    client.post(GET_XML)
    const signs = (): number => daemon.inbox.filter(({ prog, proc }) => prog === PROGRAM.keepalive && proc === 2).length
    await waitFor('four seconds of signs of life', () => signs() >= 8)
    expect(daemon.closed).to.equal(false)
    client.goOn()
    expect((await client.next({ type: MESSAGE.reply })).payload).to.have.length(8_000_000)
  })
})
