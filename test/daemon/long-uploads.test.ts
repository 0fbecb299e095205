import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const UPLOAD = REMOTE.storageVolUpload
const MIB = 1024 * 1024
const SERIAL = 10

// Over TCP, where the kernel moves them from socket to socket, and nothing but their headers is read.
describe('long packets of an upload', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  let daemon: DriverConnection
  before(async () => (stage = await Stage.start(cleanup)))
  after(() => cleanup.run())
  beforeEach(async () => {
    stage.driver.otherwise = () => Buffer.alloc(0)
    client = (await stage.open()).client
    expect((await client.call(UPLOAD, Buffer.alloc(64), { serial: SERIAL })).status).to.equal(STATUS.ok)
    daemon = stage.driver.latest
  })
  afterEach(() => client.destroy())

  const packet = (payload: Uint8Array): Buffer =>
    frame({ proc: UPLOAD, serial: SERIAL, type: MESSAGE.stream, status: STATUS.continue }, payload)

  async function expectPacket(payload: Buffer): Promise<void> {
    const arrived = await daemon.next({ type: MESSAGE.stream })
    expect(arrived).to.include({ proc: UPLOAD, serial: SERIAL, status: STATUS.continue })
    expect(arrived.payload.length).to.equal(payload.length)
    expect(arrived.payload.equals(payload)).to.equal(true)
  }

  async function expectAlive(): Promise<void> {
    expect((await client.call(REMOTE.domainGetInfo, undefined, { serial: 0x7777 })).status).to.equal(STATUS.ok)
  }

  it('arrive whole and in order, beside short ones, calls and pings', async () => {
    const sizes = [65_507, 65_508, 65_509, 7, 262_120, 262_120, MIB, 0, 100_000, 1, 80_000, 3 * MIB + 1, 16_384, 262_144]
    sizes.forEach((size, i) => {
      client.write(packet(pattern(size, i)))
      client.post(REMOTE.domainGetInfo, pattern(i), { serial: 1000 + i })
      client.write(ping())
    })
    for (const [i, size] of sizes.entries()) {
      await expectPacket(pattern(size, i))
      expect((await client.next({ serial: 1000 + i })).status).to.equal(STATUS.ok)
    }
    expect(daemon.calls.slice(-sizes.length).map(call => call.payload.length)).to.deep.equal(sizes.map((_, i) => i))
    await expectAlive()
  })

  it('arrive whole however their bytes come', async () => {
    client.write(packet(pattern(200_000)))
    await expectPacket(pattern(200_000))
    for (const cut of [1, 4, 27, 28, 29, HEADER_BYTES + 60_000, HEADER_BYTES + 199_999]) {
      const bytes = packet(pattern(200_000, cut))
      client.write(bytes.subarray(0, cut))
      await client.untilRead()
      client.write(bytes.subarray(cut), packet(pattern(90_000, cut)))
      await expectPacket(pattern(200_000, cut))
      await expectPacket(pattern(90_000, cut))
    }
  })

  it('wait for a daemon that does not take them, and lose nothing', async () => {
    daemon.stall()
    const packets = Array.from({ length: 60 }, (_, i) => pattern(MIB - i, i))
    for (const payload of packets) client.write(packet(payload))
    for (let i = 0; i < 5; i++) {
      await client.untilStuck()
      const { received } = daemon
      daemon.goOn()
      await waitFor('some of it', () => daemon.received > received)
      daemon.stall()
    }
    const bystander = await stage.open()
    expect((await bystander.client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
    bystander.client.destroy()
    daemon.goOn()
    for (const payload of packets) await expectPacket(payload)
    await expectAlive()
  })

  it('do not keep the broker\'s own frames to the daemon waiting beyond their end', async () => {
    const bytes = packet(pattern(300_000))
    client.write(bytes.subarray(0, 200_000))
    await waitFor('the first part', () => daemon.unfinished >= 200_000 || undefined)
    // The answer is begun by the broker while the packet is under way.
    daemon.write(ping())
    await daemon.untilRead()
    daemon.answerPings = false
    client.write(bytes.subarray(200_000))
    await expectPacket(pattern(300_000))
    await daemon.next({ proc: 2, type: MESSAGE.event })
  })

  it('end in the middle when the daemon dies, and the client stays', async () => {
    const bytes = packet(pattern(2 * MIB))
    client.write(bytes.subarray(0, MIB))
    await waitFor('the first part', () => daemon.unfinished > 0 || undefined)
    daemon.destroy()
    expect(await client.next({ type: MESSAGE.stream })).to.include({ serial: SERIAL, status: STATUS.error })
    client.write(bytes.subarray(MIB), packet(pattern(MIB)))
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  it('end in the middle when the client leaves, and leave no descriptor behind', async () => {
    client.write(packet(pattern(200_000)))
    await expectPacket(pattern(200_000))
    // Those of clients before are on their way out: it has one that it may share, and one for the upload.
    await waitFor('the others to be closed', () => stage.driver.connections.filter(({ closed }) => !closed).length === 2)
    const before = openDescriptors(stage.broker.program.pid)
    const { client: other } = await stage.open()
    await other.call(UPLOAD, Buffer.alloc(64), { serial: SERIAL })
    const { latest: its } = stage.driver
    other.write(packet(pattern(2 * MIB)).subarray(0, MIB))
    await waitFor('the first part', () => its.unfinished > 0 || undefined)
    other.destroy()
    await its.end()
    await waitFor('both descriptors to be closed', () => openDescriptors(stage.broker.program.pid) === before || undefined)
    await expectAlive()
  })
})
