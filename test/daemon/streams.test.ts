import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { internalError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { STREAM_CHUNK_BYTES, streamData, streamHole } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { internalErrorPayload } from '../support/error-payload.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping, type Frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { settled, waitFor } from '../support/waiting.js'

const { storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD, domainOpenConsole: CONSOLE } = REMOTE
const MIB = 1024 * 1024

/** Arguments of an upload or download of a volume; the last word holds the flags. */
const volume = (sparse: boolean): Buffer => Buffer.concat([Buffer.alloc(60), hex(sparse ? '00000001' : '00000000')])

describe('streams', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  let daemon: DriverConnection
  before(async () => (stage = await Stage.start(cleanup)))
  after(() => cleanup.run())
  beforeEach(async () => {
    stage.driver.otherwise = () => Buffer.alloc(0)
    ;({ client, daemon } = await stage.open())
  })
  afterEach(() => client.destroy())

  /** Opens a stream, on a connection of the client's own; returns the call as the daemon saw it. */
  async function start(proc: number, serial: number, sparse = false): Promise<Frame> {
    const reply = await client.call(proc, volume(sparse), { serial })
    expect(reply.status).to.equal(STATUS.ok)
    daemon = stage.driver.latest
    return daemon.calls.at(-1)!
  }

  const packet = (proc: number, serial: number, status: number, payload?: Uint8Array): void =>
    client.send({ proc, serial, type: MESSAGE.stream, status }, payload)

  async function expectAlive(): Promise<void> {
    expect((await client.call(REMOTE.domainGetInfo, undefined, { serial: 0x7777 })).status).to.equal(STATUS.ok)
  }

  it('carry data of any length to the daemon, whole and in order, and its confirmation back', async () => {
    const call = await start(UPLOAD, 10)
    const sizes = [1, 2, 3, 4, 5, 4095, 65_536, STREAM_CHUNK_BYTES, MIB, 0, 7]
    for (const size of sizes) packet(UPLOAD, 10, STATUS.continue, pattern(size, size))
    packet(UPLOAD, 10, STATUS.ok)
    for (const size of sizes) {
      const data = await daemon.next()
      expect(data).to.include({ proc: UPLOAD, serial: 10, type: MESSAGE.stream, status: STATUS.continue })
      expect(data.payload.equals(pattern(size, size)), `packet of ${size} bytes`).to.equal(true)
    }
    expect(await daemon.next()).to.include({ serial: 10, type: MESSAGE.stream, status: STATUS.ok })
    daemon.confirm(call)
    expect(await client.next()).to.include({ proc: UPLOAD, serial: 10, type: MESSAGE.stream, status: STATUS.ok })
  })

  it('carry data to the client, with its empty end, and the client\'s finish back', async () => {
    const call = await start(DOWNLOAD, 11)
    const sizes = [1, 3, STREAM_CHUNK_BYTES, 24, MIB]
    for (const size of sizes) daemon.data(call, pattern(size, size))
    daemon.data(call, Buffer.alloc(0))
    for (const size of sizes) expect((await client.data(11, size)).equals(pattern(size, size))).to.equal(true)
    expect((await client.next()).bytes).to.deep.equal(frame({ ...call, type: MESSAGE.stream, status: STATUS.continue }))
    packet(DOWNLOAD, 11, STATUS.ok)
    expect(await daemon.next()).to.include({ type: MESSAGE.stream, status: STATUS.ok })
    daemon.confirm(call)
    expect(await client.next()).to.include({ type: MESSAGE.stream, status: STATUS.ok })
  })

  it('go both ways at once, like a console', async () => {
    const call = await start(CONSOLE, 3)
    for (let i = 0; i < 20; i++) {
      packet(CONSOLE, 3, STATUS.continue, pattern(11, i))
      daemon.data(call, pattern(13, i))
    }
    for (let i = 0; i < 20; i++) {
      expect((await daemon.next()).payload).to.deep.equal(pattern(11, i))
      expect((await client.next()).payload).to.deep.equal(pattern(13, i))
    }
  })

  it('run side by side, and beside calls', async () => {
    const first = await start(DOWNLOAD, 20)
    const second = await start(DOWNLOAD, 21)
    for (let i = 0; i < 10; i++) {
      daemon.data(first, pattern(1000, i))
      daemon.data(second, pattern(2000, i))
    }
    await expectAlive()
    for (let i = 0; i < 10; i++) {
      expect((await client.next({ serial: 20 })).payload).to.deep.equal(pattern(1000, i))
      expect((await client.next({ serial: 21 })).payload).to.deep.equal(pattern(2000, i))
    }
  })

  it('end when the client aborts, after which nothing of them passes any more', async () => {
    const call = await start(DOWNLOAD, 12)
    daemon.data(call, pattern(100))
    packet(DOWNLOAD, 12, STATUS.error)
    expect(await daemon.next()).to.include({ type: MESSAGE.stream, status: STATUS.error })
    daemon.data(call, pattern(50))
    daemon.confirm(call)
    expect((await client.next()).payload).to.have.length(100)
    expect((await client.next()).payload).to.have.length(50)
    expect(await client.next()).to.include({ serial: 12, status: STATUS.ok })
    packet(DOWNLOAD, 12, STATUS.error)
    packet(DOWNLOAD, 12, STATUS.continue, pattern(10))
    daemon.data(call, pattern(10))
    await expectAlive()
    expect(daemon.inbox).to.be.empty
    expect(client.inbox).to.be.empty
  })

  it('end when the daemon breaks them, with its error', async () => {
    const call = await start(UPLOAD, 13)
    daemon.breakStream(call, internalError('no space left'))
    const broken = await client.next()
    expect(broken).to.include({ proc: UPLOAD, serial: 13, type: MESSAGE.stream, status: STATUS.error })
    expect(broken.payload).to.deep.equal(internalErrorPayload('no space left'))
    packet(UPLOAD, 13, STATUS.continue, pattern(10))
    await expectAlive()
    expect(daemon.inbox).to.be.empty
  })

  it('do not exist when the call that opens them fails', async () => {
    stage.driver.otherwise = () => internalError('no such volume')
    expect((await client.call(DOWNLOAD, volume(false), { serial: 14 })).status).to.equal(STATUS.error)
    packet(DOWNLOAD, 14, STATUS.continue, pattern(10))
    stage.driver.otherwise = () => Buffer.alloc(0)
    await expectAlive()
    expect(daemon.inbox).to.be.empty
  })

  it('are left to the daemon when the client sends a status that means nothing', async () => {
    await start(UPLOAD, 15)
    packet(UPLOAD, 15, 7)
    expect(await daemon.next()).to.include({ type: MESSAGE.stream, serial: 15, status: 7 })
  })

  it('have holes in both directions when they were opened sparse', async () => {
    const up = await start(UPLOAD, 16, true)
    client.write(streamHole(up, 1n << 40n))
    expect((await daemon.next()).bytes).to.deep.equal(
      hex('00000028 20008086 00000001 000000d0 00000006 00000010 00000002 00000100 00000000 00000000')
    )
    const down = await start(DOWNLOAD, 17, true)
    daemon.write(streamHole(down, 4096n))
    expect(await client.next()).to.include({ type: MESSAGE.streamHole, serial: 17 })
  })

  it('end the connection of a client that sends a hole where none may be', async () => {
    const bystander = await stage.open()
    const call = await start(UPLOAD, 18)
    client.write(streamHole(call, 4096n))
    await client.end()
    await daemon.end()
    expect((await bystander.client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
  })

  it('are dropped by the daemon\'s end of the connection when the client leaves', async () => {
    await start(UPLOAD, 19)
    packet(UPLOAD, 19, STATUS.continue, pattern(10))
    client.destroy()
    await daemon.end()
  })
})

// Over UNIX sockets: the kernel's buffers of a TCP connection may take dozens of megabytes.
describe('a stream that nobody takes', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, { keepalive_interval: 1, keepalive_count: 20 })))
  after(() => cleanup.run())

  /** Resident memory of the broker in MiB. */
  function memory(): number {
    const status = readFileSync(`/proc/${stage.broker.program.pid}/status`, 'latin1')
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024
  }

  /** Another client is served meanwhile. */
  async function expectBystander(): Promise<void> {
    const bystander = await stage.open()
    expect((await bystander.client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
  }

  it('to the client pauses the daemon, and does not grow the broker', async () => {
    const { client } = await stage.open(stage.broker.socket)
    stage.driver.otherwise = () => Buffer.alloc(0)
    await client.call(DOWNLOAD, volume(false), { serial: 5 })
    const { latest: daemon } = stage.driver
    const before = memory()
    client.stall()
    const data = streamData({ prog: 0x20008086, proc: DOWNLOAD, serial: 5 }, Buffer.alloc(MIB, 5))
    for (let i = 0; i < 100; i++) daemon.write(data)
    await daemon.untilStuck()
    expect(daemon.socket.writableLength / MIB, 'MiB that the daemon could not write').to.be.greaterThan(95)
    expect(memory() - before, 'MiB that the broker has grown').to.be.lessThan(20)
    await expectBystander()
    client.goOn()
    expect((await client.data(5, 100 * MIB)).every(byte => byte === 5)).to.equal(true)
  })

  it('to the daemon pauses the client, which goes on when the daemon does', async () => {
    const { client } = await stage.open(stage.broker.socket)
    await client.call(UPLOAD, volume(false), { serial: 5 })
    const { latest: daemon } = stage.driver
    const before = memory()
    daemon.stall()
    const data = streamData({ prog: 0x20008086, proc: UPLOAD, serial: 5 }, Buffer.alloc(MIB, 5))
    for (let i = 0; i < 100; i++) client.write(data)
    await client.untilStuck()
    expect(client.socket.writableLength / MIB, 'MiB that the client could not write').to.be.greaterThan(95)
    expect(memory() - before, 'MiB that the broker has grown').to.be.lessThan(20)
    await expectBystander()
    daemon.goOn()
    for (let i = 0; i < 100; i++) expect((await daemon.next()).payload).to.have.length(MIB)
  })

  it('to the daemon leaves no descriptors behind when its client leaves', async () => {
    const descriptors = (): number => openDescriptors(stage.broker.program.pid)
    const before = await settled('descriptors', descriptors)
    const { client } = await stage.open(stage.broker.socket)
    await client.call(UPLOAD, volume(false), { serial: 5 })
    const { latest: daemon } = stage.driver
    daemon.stall()
    const data = streamData({ prog: 0x20008086, proc: UPLOAD, serial: 5 }, Buffer.alloc(MIB, 5))
    for (let i = 0; i < 20; i++) client.write(data)
    await client.untilStuck()
    const meanwhile = descriptors()
    client.destroy()
    await waitFor('its descriptor to be closed', () => descriptors() < meanwhile)
    daemon.goOn()
    await daemon.end()
    await waitFor('all to be closed', () => descriptors() === before)
  })

  it('to the client does not hold up the pings of the daemon for ever', async () => {
    const { client } = await stage.open(stage.broker.socket)
    await client.call(DOWNLOAD, volume(false), { serial: 5 })
    const { latest: daemon } = stage.driver
    daemon.answerPings = false
    const call = daemon.calls.at(-1)!
    client.stall()
    for (let i = 0; i < 40; i++) daemon.data(call, Buffer.alloc(MIB))
    daemon.write(ping())
    const pong = await waitFor('a sign of life', () => daemon.take({ proc: 2 }))
    expect(pong.payload).to.have.length(0)
  })
})
