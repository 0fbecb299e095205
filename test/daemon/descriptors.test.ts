import { expect } from 'chai'
import { fstatSync, openSync } from 'node:fs'
import { decodeError } from '#protocol/errors.js'
import { encodeFrame, MESSAGE, PROGRAM, PROGRAM_VERSION, STATUS } from '#protocol/header.js'
import { decodeSupported, encodeFeature, FEATURE } from '#protocol/messages/connect.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { DescriptorClient } from '../support/descriptor-client.js'
import { childrenOf, openDescriptors, openDescriptorsOf } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { waitFor } from '../support/waiting.js'

const UUID = Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex')
/** The embedded driver answers it with the same text and the same descriptors. */
const echoArgs = (text = 'hello'): Buffer =>
  new XdrWriter().string('test').fixed(UUID).i32(1).string(text).u32(0).finish()
const NULL_DEVICE = '/dev/null'

const nullDevices = (count: number): number[] => Array.from({ length: count }, () => openSync(NULL_DEVICE, 'r'))

describe('file descriptors', () => {
  const cleanup = new Cleanup()
  let broker: Broker
  before(async () => (broker = await Broker.start(cleanup, { embedded_test_driver: 1, driver_socket_dir: '/nowhere' })))
  after(() => cleanup.run())

  /** In the broker and in its test driver. */
  const descriptorsOpen = (): number =>
    [broker.program.pid, ...childrenOf(broker.program.pid)].reduce((sum, pid) => sum + openDescriptors(pid), 0)
  const connect = async (): Promise<DescriptorClient> => {
    const client = await DescriptorClient.connect(cleanup, broker.socket)
    expect((await client.open('test:///default'))!.status).to.equal(STATUS.ok)
    return client
  }
  const echo = (client: DescriptorClient, descriptors: number[], announced?: number): ReturnType<typeof client.call> =>
    client.call(PROGRAM.qemu, QEMU.domainMonitorCommandWithFiles, echoArgs(), descriptors, announced)
  const isServed = async (): Promise<void> => {
    const client = await connect()
    expect((await client.call(PROGRAM.remote, REMOTE.connectGetLibVersion, Buffer.alloc(0)))!.status).to.equal(STATUS.ok)
    client.transport.destroy()
  }
  const noLeak = async (before: number): Promise<void> => {
    await waitFor('descriptors to be closed', () => descriptorsOpen() <= before)
  }

  it('arrive with their frame, in order, both ways', async () => {
    const client = await connect()
    const descriptors = [openSync('/dev/null', 'r'), openSync('/dev/zero', 'r'), openSync('/dev/full', 'r')]
    const devices = descriptors.map(fd => fstatSync(fd).rdev)
    const reply = (await echo(client, descriptors))!
    expect(reply.type).to.equal(MESSAGE.replyWithFds)
    expect(reply.descriptors.map(fd => fstatSync(fd).rdev)).to.deep.equal(devices)
    reply.descriptors.forEach(fd => client.closer.close(fd))
  })

  it('go through 32 at a time, ten thousand times, and none is left behind', async function () {
    this.timeout(120_000)
    const client = await connect()
    const [before, own] = [descriptorsOpen(), openDescriptors('self')]
    let came = 0
    for (let i = 0; i < 10_000; i++) {
      const reply = (await echo(client, nullDevices(32)))!
      came += reply.descriptors.length
      reply.descriptors.forEach(fd => client.closer.close(fd))
    }
    expect(came).to.equal(10_000 * 32)
    expect(openDescriptors('self')).to.equal(own)
    await noLeak(before)
  })

  it('may be sent by several calls that wait for each other', async () => {
    const client = await connect()
    const before = descriptorsOpen()
    const frames = Array.from({ length: 12 }, (_, i) => {
      const payload = Buffer.concat([Buffer.from([0, 0, 0, 2]), echoArgs(`call ${i}`)])
      return encodeFrame(
        { prog: PROGRAM.qemu, vers: PROGRAM_VERSION, proc: 7, type: MESSAGE.callWithFds, serial: 100 + i, status: 0 },
        payload
      )
    })
    let answered = 0
    client.frame = (bytes, from, to) => void (DescriptorClient.prototype.frame.call(client, bytes, from, to), answered++)
    for (const frame of frames) client.write(frame, nullDevices(2))
    await waitFor('all replies', () => answered === 12)
    client.transport.destroy()
    await noLeak(before)
  })

  it('are announced by feature 8 over UNIX, and not over TCP', async () => {
    const client = await connect()
    const asked = encodeFeature(FEATURE.fdPassing)
    const answer = (await client.call(PROGRAM.remote, REMOTE.connectSupportsFeature, asked))!
    expect(decodeSupported(answer.payload)).to.equal(true)
    const tcp = await RawClient.connect(cleanup, broker.tcpPort)
    await tcp.open('test:///default')
    expect(decodeSupported((await tcp.call(REMOTE.connectSupportsFeature, asked)).payload)).to.equal(false)
  })

  it('that a TCP client announces get a clear error, and the connection ends', async () => {
    const tcp = await RawClient.connect(cleanup, broker.tcpPort)
    await tcp.open('test:///default')
    const payload = Buffer.concat([Buffer.from([0, 0, 0, 1]), echoArgs()])
    const reply = await tcp.call(7, payload, { prog: PROGRAM.qemu, type: MESSAGE.callWithFds })
    expect(decodeError(reply.payload).message).to.equal('file descriptors cannot be passed over this connection')
    await waitFor('the connection to end', () => tcp.closed)
  })

  it('of a call that is refused are closed, and the connection goes on', async () => {
    const client = await connect()
    const before = descriptorsOpen()
    const reply = (await client.call(0x12345678, 1, echoArgs(), nullDevices(3)))!
    expect(decodeError(reply.payload).message).to.equal('Cannot find program 305419896 version 1')
    const unsupported = (await client.call(PROGRAM.remote, REMOTE.domainFdAssociate, echoArgs(), nullDevices(3)))!
    expect(unsupported.status).to.equal(STATUS.error)
    expect((await echo(client, nullDevices(1)))!.descriptors.map(fd => client.closer.close(fd))).to.have.length(1)
    await noLeak(before)
  })

  it('fewer than announced end the connection', async () => {
    const client = await connect()
    const before = descriptorsOpen()
    const reply = echo(client, nullDevices(1), 2)
    client.write(Buffer.from([0]))
    expect(await reply).to.equal(undefined)
    await noLeak(before)
    await isServed()
  })

  it('more than announced end the connection', async () => {
    const client = await connect()
    const before = descriptorsOpen()
    const reply = echo(client, nullDevices(1), 0)
    await reply
    await client.untilClosed()
    await noLeak(before)
    await isServed()
  })

  it('more than 32 announced end the connection', async () => {
    const client = await connect()
    expect(await echo(client, [], 33)).to.equal(undefined)
  })

  it('where none belong end the connection', async () => {
    const client = await connect()
    const before = descriptorsOpen()
    client.write(Buffer.alloc(0), nullDevices(1))
    await client.untilClosed()
    await noLeak(before)
    await isServed()
  })

  it('of a client that goes half way are closed', async () => {
    const client = await connect()
    // Counted alone: those of clients of the cases before may still be on their way out.
    const passed = (): number => openDescriptorsOf(broker.program.pid, NULL_DEVICE)
    const before = passed()
    void echo(client, nullDevices(3), 5)
    await waitFor('them to arrive', () => passed() === before + 3)
    client.transport.destroy()
    await waitFor('them to be closed', () => passed() === before)
    await isServed()
  })
})
