import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import type { FakeDriver } from '../support/fake-driver.js'
import type { Frame } from '../support/frame-socket.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const RO = 1
const domain = (...words: number[]): Buffer =>
  words.reduce((xdr, word) => xdr.u32(word), new XdrWriter().string('guest').fixed(Buffer.alloc(16, 7)).i32(-1)).finish()

function expectRefused(reply: Frame, api: string): void {
  expect(reply.status, api).to.equal(STATUS.error)
  expect(decodeError(reply.payload).message).to.equal(`operation forbidden: read only access prevents ${api}`)
}

const expectPassed = (reply: Frame): void => void expect(reply.status).to.equal(STATUS.ok)

describe('read-only connections', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let readOnlyDriver: FakeDriver

  before(async () => {
    stage = await Stage.start(cleanup)
    readOnlyDriver = await stage.addDriver('virtqemud-sock-ro')
  })
  after(() => cleanup.run())

  async function opened(where: string | number, flags = 0): Promise<RawClient> {
    const client = await stage.connect(where)
    expectPassed(await client.open('qemu:///system', flags))
    return client
  }

  it('are refused what changes something, and the driver daemon does not hear of it', async () => {
    const client = await opened(stage.broker.roSocket)
    expectRefused(await client.call(REMOTE.domainDelThrottleGroup, domain(0, 0)), 'virDomainDelThrottleGroup')
    expectRefused(await client.call(REMOTE.domainDestroy, domain()), 'virDomainDestroy')
    expectRefused(await client.call(REMOTE.domainOpenConsole, domain(0, 0)), 'virDomainOpenConsole')
    expectRefused(await client.call(REMOTE.domainInterfaceAddresses, domain(1, 0)), 'virDomainInterfaceAddresses')
    expectRefused(await client.call(1, domain(), { prog: PROGRAM.qemu }), 'virDomainQemuMonitorCommand')
    expectRefused(await client.call(1, domain(), { prog: PROGRAM.lxc }), 'virDomainLxcOpenNamespace')
    expect(QEMU.domainMonitorCommand).to.equal(1)
    expectPassed(await client.call(REMOTE.domainInterfaceAddresses, domain(0, 0)))
    expectPassed(await client.call(REMOTE.domainMigrateGetMaxDowntime, domain(0)))
    expectPassed(await client.call(REMOTE.domainMigrateGetCompressionCache, domain(0)))
    expectPassed(await client.call(REMOTE.domainGetInfo, domain()))
    expectPassed(await client.call(4000, domain()))
    const calls = readOnlyDriver.connections.flatMap(daemon => daemon.calls)
    const passed = calls.map(({ proc }) => proc).filter(proc => proc !== REMOTE.connectOpen && proc !== REMOTE.connectSetIdentity)
    expect(passed).to.deep.equal([
      REMOTE.domainInterfaceAddresses, REMOTE.domainMigrateGetMaxDowntime, REMOTE.domainMigrateGetCompressionCache,
      REMOTE.domainGetInfo, 4000
    ])
  })

  it('are those that ask for it on any socket, and no others', async () => {
    for (const where of [stage.broker.socket, stage.broker.tcpPort]) {
      const client = await opened(where, RO)
      expectRefused(await client.call(REMOTE.domainDelThrottleGroup, domain(0, 0)), 'virDomainDelThrottleGroup')
      expectPassed(await (await opened(where)).call(REMOTE.domainDelThrottleGroup, domain(0, 0)))
    }
  })

  it('are refused calls with file descriptors', async () => {
    const client = await opened(stage.broker.roSocket)
    const serial = client.post(REMOTE.domainOpenGraphics, Buffer.concat([Buffer.alloc(4), domain(0, 0)]), { type: MESSAGE.callWithFds })
    expectRefused(await client.next({ type: MESSAGE.reply, serial }), 'virDomainOpenGraphics')
  })

  it('say first that nothing is open', async () => {
    const client = await stage.connect(stage.broker.roSocket)
    const reply = await client.call(REMOTE.domainDestroy, domain())
    expect(decodeError(reply.payload).message).to.equal('internal error: hypervisor connection not open')
  })

  it('stay so while their daemon is away, until they open again without the flag', async () => {
    const own = await Stage.start(cleanup, { driver_reconnect: 0 })
    const readOnly = await own.addDriver('virtqemud-sock-ro')
    const client = await own.connect(own.broker.socket)
    expectPassed(await client.open('qemu:///system', RO))
    readOnly.latest.destroy()
    const lost = await client.call(REMOTE.domainGetInfo, domain())
    expect(decodeError(lost.payload).message).to.equal('internal error: client socket is closed')
    expectRefused(await client.call(REMOTE.domainDestroy, domain()), 'virDomainDestroy')
    expectPassed(await client.open('qemu:///system'))
    expectPassed(await client.call(REMOTE.domainDestroy, domain()))
  })
})
