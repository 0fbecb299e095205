import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { decodeText, encodeFeature } from '#protocol/messages/connect.js'
import { streamData } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { internalErrorPayload, systemErrorPayload } from '../support/error-payload.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { unreadBytes } from '../support/kernel-queues.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const MIB = 1024 * 1024
const GET_XML = REMOTE.domainGetXmlDesc
const { storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD } = REMOTE

/** What calls in flight fail with when the daemon closes its end in order. */
const endOfFile = (): Buffer => systemErrorPayload(5, 'End of file while reading data: Input/output error')
const socketClosed = (): Buffer => internalErrorPayload('client socket is closed')

// As virtproxyd has it: the client learns of it, and may open again.
describe('the death of a driver daemon, without driver_reconnect,', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  let daemon: DriverConnection
  before(async () => (stage = await Stage.start(cleanup, { driver_reconnect: 0, actor_threads: 1, log_level: 2 })))
  after(() => cleanup.run())
  beforeEach(async () => {
    stage.driver.otherwise = () => Buffer.alloc(0)
    ;({ client, daemon } = await stage.open())
  })
  afterEach(() => client.destroy())

  /** The daemon's process is gone: the kernel closes its sockets. */
  const die = (): void => stage.driver.connections.forEach(connection => connection.destroy())

  /** It closes them in order, one of them in the middle of what it says perhaps. */
  function end(speaker = daemon, last: Buffer = Buffer.alloc(0)): void {
    speaker.socket.end(last, () => {
      for (const connection of stage.driver.connections) if (connection !== speaker) connection.socket.end()
    })
  }

  it('makes its calls fail at once, those that wait too', async () => {
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= 9; serial++) client.post(GET_XML, pattern(100), { serial })
    for (let calls = 4; calls > 0; calls--) await stage.driver.taken({ proc: GET_XML })
    die()
    for (let serial = 1; serial <= 9; serial++) {
      const reply = await client.next()
      expect(reply).to.include({ proc: GET_XML, serial, type: MESSAGE.reply, status: STATUS.error })
      expect(reply.payload.subarray(0, 8)).to.deep.equal(hex('00000026 00000007'))
    }
  })

  it('is an end of file when it closed its connection in order', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML)
    await daemon.next({ proc: GET_XML })
    end()
    expect((await client.next({ proc: GET_XML })).payload).to.deep.equal(endOfFile())
  })

  it('is a reset when it left bytes unread', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML)
    await daemon.next({ proc: GET_XML })
    daemon.stall()
    // More than the fake daemon's own socket reads ahead.
    for (let calls = 3; calls > 0; calls--) client.post(GET_XML, pattern(60_000))
    await waitFor('bytes that nobody reads', () => unreadBytes(daemon.socket) > 0)
    die()
    expect((await client.next({ proc: GET_XML })).payload).to.deep.equal(
      systemErrorPayload(104, 'Cannot recv data: Connection reset by peer')
    )
  })

  it('leaves the client connected: the broker answers, and the daemon\'s calls fail', async () => {
    await stage.untilLost(die)
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    expect(decodeText((await client.call(REMOTE.connectGetUri)).payload)).to.equal('qemu:///system')
    for (const feature of [10, 14, 15]) {
      expect((await client.call(REMOTE.connectSupportsFeature, encodeFeature(feature))).payload).to.deep.equal(
        hex('00000001')
      )
    }
    expect((await client.call(REMOTE.connectSupportsFeature, encodeFeature(4))).payload).to.deep.equal(socketClosed())
    for (const proc of [GET_XML, REMOTE.connectListAllNetworks, DOWNLOAD, REMOTE.connectRegisterCloseCallback]) {
      expect((await client.call(proc)).payload).to.deep.equal(socketClosed())
    }
    expect((await client.call(REMOTE.connectClose)).status).to.equal(STATUS.ok)
    await client.end()
  })

  it('can be got over by opening again', async () => {
    await stage.untilLost(die)
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect((await client.call(GET_XML)).status).to.equal(STATUS.ok)
  })

  it('is told to a client that registered the close callback, once, after its failed calls', async () => {
    await client.call(REMOTE.connectRegisterCloseCallback)
    stage.driver.otherwise = () => undefined
    const serial = client.post(GET_XML)
    await daemon.next({ proc: GET_XML })
    die()
    expect(await client.next()).to.include({ serial, status: STATUS.error })
    expect((await client.next()).bytes).to.deep.equal(
      hex('00000020 20008086 00000001 0000016a 00000002 00000001 00000000 00000001')
    )
    await client.call(REMOTE.authList)
    expect(client.inbox).to.be.empty
  })

  it('is not told to a client that never registered, or has unregistered', async () => {
    await client.call(REMOTE.connectRegisterCloseCallback)
    await client.call(REMOTE.connectUnregisterCloseCallback)
    await stage.untilLost(die)
    await client.call(REMOTE.authList)
    expect(client.inbox).to.be.empty
  })

  it('ends every open stream with an error', async () => {
    await client.call(UPLOAD, Buffer.alloc(64), { serial: 30 })
    await client.call(DOWNLOAD, Buffer.alloc(64), { serial: 31 })
    end()
    for (const [proc, serial] of [[UPLOAD, 30], [DOWNLOAD, 31]]) {
      const broken = await client.next()
      expect(broken).to.include({ proc, serial, type: MESSAGE.stream, status: STATUS.error })
      expect(broken.payload).to.deep.equal(endOfFile())
    }
    client.send({ proc: UPLOAD, serial: 30, type: MESSAGE.stream })
    await client.call(REMOTE.authList)
    expect(client.inbox).to.be.empty
  })

  it('in the middle of stream data ends the stream and leaves the client', async () => {
    await client.call(DOWNLOAD, Buffer.alloc(64), { serial: 31 })
    const data = streamData({ prog: 0x20008086, proc: DOWNLOAD, serial: 31 }, pattern(50_000))
    end(stage.driver.latest, data.subarray(0, 20_000))
    expect(await client.data(31, 20_000 - HEADER_BYTES)).to.deep.equal(data.subarray(HEADER_BYTES, 20_000))
    const broken = await client.next()
    expect(broken).to.include({ serial: 31, type: MESSAGE.stream, status: STATUS.error })
    expect((await client.call(GET_XML)).payload).to.deep.equal(socketClosed())
  })

  it('in the middle of a reply is like any other, for up to 1 MiB', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 8 })
    const call = await daemon.next({ proc: GET_XML })
    end(daemon, frame({ ...call, type: MESSAGE.reply }, pattern(MIB - HEADER_BYTES)).subarray(0, -1))
    expect((await client.next({ serial: 8 })).payload).to.deep.equal(endOfFile())
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  it('in the middle of a longer reply ends the client\'s connection, for the reply cannot be mended', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 8 })
    const call = await daemon.next({ proc: GET_XML })
    end(daemon, frame({ ...call, type: MESSAGE.reply }, pattern(MIB)).subarray(0, 3000))
    await client.end()
  })

  for (const [what, header] of Object.entries({
    'an event': { proc: 318, type: MESSAGE.event },
    'a stream\'s error': { proc: DOWNLOAD, type: MESSAGE.stream, serial: 31, status: STATUS.error },
    'a stream\'s hole': { proc: DOWNLOAD, type: MESSAGE.streamHole, serial: 31, status: STATUS.continue }
  })) {
    it(`in the middle of ${what} keeps that from the client`, async () => {
      await client.call(DOWNLOAD, Buffer.alloc(64), { serial: 31 })
      end(stage.driver.latest, frame(header, pattern(300)).subarray(0, 200))
      expect((await client.next()).payload).to.deep.equal(endOfFile())
      expect((await client.call(GET_XML)).payload).to.deep.equal(socketClosed())
      expect(client.inbox).to.be.empty
    })
  }

  it('in the middle of a header is like any other', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 8 })
    const call = await daemon.next({ proc: GET_XML })
    end(daemon, frame({ ...call, type: MESSAGE.reply }, pattern(5000)).subarray(0, 27))
    expect((await client.next({ serial: 8 })).payload).to.deep.equal(endOfFile())
  })

  it('gives the client first what the daemon had said before', async () => {
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 1 })
    client.post(GET_XML, undefined, { serial: 2 })
    const call = await daemon.next({ proc: GET_XML })
    end(daemon, frame({ ...call, type: MESSAGE.reply }, pattern(70_000)))
    expect((await client.next()).payload).to.deep.equal(pattern(70_000))
    expect(await client.next()).to.include({ serial: 2, status: STATUS.error })
  })

  it('gives that also to a client that reads slowly', async () => {
    const slow = await stage.open(stage.broker.socket)
    stage.driver.otherwise = () => undefined
    slow.client.stall()
    slow.client.post(GET_XML, undefined, { serial: 1 })
    const call = await slow.daemon.next({ proc: GET_XML })
    end(slow.daemon, frame({ ...call, type: MESSAGE.reply }, pattern(700_000)))
    await slow.daemon.untilRead()
    slow.client.goOn()
    expect((await slow.client.next({ serial: 1 })).payload.equals(pattern(700_000))).to.equal(true)
  })

  it('while the client is in the middle of a call: that call fails, and the next is understood', async () => {
    const call = frame({ proc: GET_XML, serial: 40 }, pattern(5000))
    client.write(call.subarray(0, 2000))
    await client.untilRead()
    await stage.untilLost(end)
    client.write(call.subarray(2000), frame({ proc: GET_XML, serial: 41 }))
    expect((await client.next({ serial: 40 })).status).to.equal(STATUS.error)
    expect((await client.next({ serial: 41 })).payload).to.deep.equal(socketClosed())
  })

  it('while the client is in the middle of a call that waits does not confuse it either', async () => {
    stage.driver.otherwise = () => undefined
    for (let serial = 1; serial <= 4; serial++) client.post(GET_XML, undefined, { serial })
    for (let calls = 4; calls > 0; calls--) await stage.driver.taken({ proc: GET_XML })
    const call = frame({ proc: GET_XML, serial: 40 }, pattern(5000))
    client.write(call.subarray(0, 2000))
    await client.untilRead()
    await stage.untilLost(end)
    client.write(call.subarray(2000), frame({ proc: GET_XML, serial: 41 }))
    expect((await client.next({ serial: 40 })).status).to.equal(STATUS.error)
    expect((await client.next({ serial: 41 })).payload).to.deep.equal(socketClosed())
  })

  it('frees a client that was held up by it', async () => {
    const { client: uploader } = await stage.open(stage.broker.socket)
    await uploader.call(UPLOAD, Buffer.alloc(64), { serial: 5 })
    const stalled = stage.driver.latest
    stalled.stall()
    const data = streamData({ prog: 0x20008086, proc: UPLOAD, serial: 5 }, Buffer.alloc(1_000_000))
    for (let i = 0; i < 20; i++) uploader.write(data)
    const serial = uploader.post(REMOTE.authList, undefined, { serial: 6 })
    await uploader.untilStuck()
    stalled.destroy()
    expect(await uploader.next({ serial: 5 })).to.include({ type: MESSAGE.stream, status: STATUS.error })
    expect((await uploader.next({ serial })).status).to.equal(STATUS.ok)
  })

  it('does not touch the clients of another', async () => {
    const network = await stage.addDriver('virtnetworkd-sock')
    const other = await stage.connect()
    await other.open('network:///system')
    await stage.untilLost(() => stage.driver.stop())
    expect((await other.call(REMOTE.connectListAllNetworks, hex('01'))).payload).to.deep.equal(hex('01'))
    await network.stop()
    expect((await other.call(REMOTE.connectListAllNetworks)).payload).to.deep.equal(socketClosed())
  })
})

describe('the death of a driver daemon, where each client has a connection of its own,', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('makes also that call fail at once that the client is in the middle of, and the next is understood', async () => {
    const stage = await Stage.start(cleanup, { driver_reconnect: 0, driver_sharing: 'off' })
    const { client, daemon } = await stage.open()
    const call = frame({ proc: GET_XML, serial: 40 }, pattern(5000))
    client.write(call.subarray(0, 2000))
    await client.untilRead()
    daemon.socket.end()
    expect((await client.next({ serial: 40 })).payload).to.deep.equal(endOfFile())
    client.write(call.subarray(2000), frame({ proc: GET_XML, serial: 41 }))
    expect((await client.next({ serial: 41 })).payload).to.deep.equal(socketClosed())
  })
})

describe('the death of a driver daemon, with driver_reconnect,', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  // A loss is noticed in the order in which it happened, for all clients.
  before(async () => (stage = await Stage.start(cleanup, { actor_threads: 1, log_level: 2 })))
  after(() => cleanup.run())

  it('is got over with the next call, which waits for the new connection', async () => {
    const { client, daemon } = await stage.open()
    const again = stage.driver.nextConnection()
    await stage.untilLost(() => daemon.destroy())
    const replies = await Promise.all([1, 2, 3].map(i => client.call(GET_XML, pattern(10, i))))
    expect(replies.map(({ payload }) => payload)).to.deep.equal([1, 2, 3].map(i => pattern(10, i)))
    const [open] = (await again).calls.filter(call => call.proc === REMOTE.connectOpen)
    expect(open!.payload).to.deep.equal(daemon.calls.find(call => call.proc === REMOTE.connectOpen)!.payload)
    expect((await again).serialsOf(REMOTE.connectSetIdentity)).to.have.length(1)
  })

  it('is an error for each call as long as the daemon is away', async () => {
    const { client } = await stage.open()
    await stage.untilLost(() => stage.driver.stop())
    const first = await client.call(GET_XML)
    const message = `Failed to connect socket to '${stage.driver.path}': No such file or directory (is virtqemud.socket started?)`
    const refused = systemErrorPayload(2, message)
    expect(first.payload).to.deep.equal(refused)
    await waitFor('a call between two tries to connect', async () => {
      const { payload } = await client.call(GET_XML)
      if (!payload.equals(refused)) expect(payload).to.deep.equal(socketClosed())
      return !payload.equals(refused)
    })
    const back = await stage.addDriver('virtqemud-sock')
    await waitFor('an answer', async () => (await client.call(GET_XML)).status === STATUS.ok)
    await back.stop()
  })

  it('is left to clients that registered a close callback', async () => {
    const driver = await stage.addDriver('virtqemud-sock')
    const client = await stage.connect()
    await client.open('qemu:///system')
    await client.call(REMOTE.connectRegisterCloseCallback)
    driver.latest.destroy()
    expect(await client.next({ type: MESSAGE.event })).to.include({ proc: REMOTE.connectEventConnectionClosed })
    expect((await client.call(GET_XML)).payload).to.deep.equal(socketClosed())
    expect(driver.connections).to.have.length(1)
    await driver.stop()
  })

  it('does not cost the registrations for events: they are made again, under the ids that the client knows', async () => {
    const driver = await stage.addDriver('virtqemud-sock')
    let id = 0
    driver.on(REMOTE.connectDomainEventCallbackRegisterAny, () => hex(`0000000${id++}`))
    const client = await stage.connect()
    await client.open('qemu:///system')
    const registration = hex('00000000 00000000')
    const { payload } = await client.call(REMOTE.connectDomainEventCallbackRegisterAny, registration)
    const known = driver.connections.length
    for (const connection of driver.connections) connection.destroy()
    const daemon = await waitFor('the registration', () =>
      driver.connections.slice(known).find(made => made.serialsOf(REMOTE.connectDomainEventCallbackRegisterAny).length === 1))
    await client.call(GET_XML)
    daemon.event(318, hex('00000001 0badcafe'))
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(Buffer.concat([payload, hex('0badcafe')]))
    await driver.stop()
  })
})
