import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { decodeCallbackId, encodeCallbackId } from '#protocol/messages/events.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import type { Frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { connectDomainEventCallbackRegisterAny: ON, connectDomainEventCallbackDeregisterAny: OFF } = REMOTE
const EVENT = REMOTE.domainEventCallbackLifecycle
const about = (event: number): Buffer => new XdrWriter().i32(event).bool(false).finish()

describe('clients that share driver connections and listen for events', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let ids = 0
  before(async () => (stage = await Stage.start(cleanup, { driver_sharing: 'identity', actor_threads: 1, log_level: 2 })))
  after(() => cleanup.run())
  beforeEach(() => {
    ids = 0
    stage.driver.on(ON, () => encodeCallbackId(ids++)).on(OFF, () => Buffer.alloc(0))
  })

  async function clients(count: number): Promise<RawClient[]> {
    const all = await Promise.all(Array.from({ length: count }, () => stage.connect()))
    for (const reply of await Promise.all(all.map(client => client.open('qemu:///system')))) expect(reply.status).to.equal(STATUS.ok)
    return all
  }

  async function register(client: RawClient, event: number): Promise<number> {
    const reply = await client.call(ON, about(event))
    expect(reply.status).to.equal(STATUS.ok)
    return decodeCallbackId(reply.payload)
  }

  /** Those connections on which there have been calls to register since the daemon began to number them. */
  const registered = (): DriverConnection[] => stage.driver.connections.filter(one => !one.closed && one.serialsOf(ON).length > 0)

  /** The daemon is gone, and there again. */
  const restart = (clientsLost: number): Promise<void> =>
    stage.untilLost(() => stage.driver.connections.forEach(one => one.destroy()), clientsLost)

  it('hear of each event once, under ids of their own, also when the daemon has been restarted, which is asked once for all', async () => {
    const all = await clients(60)
    const own = new Map<RawClient, number>()
    for (const client of all) own.set(client, await register(client, 0))
    for (const restarted of [false, true]) {
      if (restarted) {
        ids = 70
        await restart(all.length)
        await waitFor('all who come back', () => stage.broker.program.stderr.match(/, 1 registrations renewed/g)?.length === all.length)
      }
      const [daemon, ...others] = registered()
      expect([others.length, daemon!.serialsOf(ON).length]).to.deep.equal([0, 1])
      for (const seed of [1, 2]) daemon!.event(EVENT, Buffer.concat([encodeCallbackId(ids - 1), pattern(20, seed)]))
      for (const client of all) {
        for (const seed of [1, 2]) {
          const { payload } = await client.next({ type: MESSAGE.event })
          expect(payload.equals(Buffer.concat([encodeCallbackId(own.get(client)!), pattern(20, seed)]))).to.equal(true)
        }
      }
    }
    for (const client of all) {
      expect(client.inbox).to.deep.equal([])
      client.destroy()
    }
    await waitFor('the end of the registrations', () => registered().length === 0)
  })

  it('deregister by the ids that they know, whatever these are after a restart', async () => {
    const [client] = await clients(1)
    const [first, second, third] = [await register(client!, 0), await register(client!, 1), await register(client!, 2)]
    expect((await client!.call(OFF, encodeCallbackId(second))).status).to.equal(STATUS.ok)
    ids = 40
    await restart(1)
    await waitFor('its registrations', () => registered()[0]?.serialsOf(ON).length === 2)
    const [daemon] = registered()
    expect((await client!.call(OFF, encodeCallbackId(third))).status).to.equal(STATUS.ok)
    await waitFor('the daemon to hear of it', () => daemon!.calls.some(({ proc }) => proc === OFF))
    expect(daemon!.calls.filter(({ proc }) => proc === OFF).map(({ payload }) => decodeCallbackId(payload))).to.deep.equal([41])
    daemon!.event(EVENT, Buffer.concat([encodeCallbackId(40), pattern(8)]))
    const { payload } = await client!.next({ type: MESSAGE.event })
    expect(payload.equals(Buffer.concat([encodeCallbackId(first), pattern(8)]))).to.equal(true)
    expect((await client!.call(OFF, encodeCallbackId(third))).status).to.equal(STATUS.error)
    client!.destroy()
  })

  it('deregister by the ids that they know, also what was on a connection of their own before a restart', async () => {
    const [client] = await clients(1)
    const condition = new XdrWriter().bool(false).bool(true).string('STOP').u32(0).finish()
    const watch = (): Promise<Frame> =>
      client!.call(QEMU.connectDomainMonitorEventRegister, condition, { prog: PROGRAM.qemu })
    const watching = decodeCallbackId((await watch()).payload)
    const id = await register(client!, 0)
    await client!.call(QEMU.connectDomainMonitorEventDeregister, encodeCallbackId(watching), { prog: PROGRAM.qemu })
    ids = 40
    await restart(1)
    const daemon = await waitFor('its registration', () => registered()[0])
    expect((await watch()).status).to.equal(STATUS.ok)
    expect((await client!.call(OFF, encodeCallbackId(id))).status).to.equal(STATUS.ok)
    const given = await waitFor('the daemon to hear of it', () => daemon.calls.find(({ proc }) => proc === OFF))
    expect(decodeCallbackId(given.payload)).to.equal(40)
    client!.destroy()
  })

  it('are cut off if they do not read them, which the others do not notice', async () => {
    const [deaf, listening] = await clients(2)
    const id = [await register(deaf!, 0), await register(listening!, 0)][1]!
    const [daemon] = registered()
    deaf!.stall()
    const body = Buffer.alloc(50_000)
    let sent = 0
    await waitFor('the end of the one', async () => {
      for (let i = 0; i < 20; i++) daemon!.event(EVENT, Buffer.concat([encodeCallbackId(0), encodeCallbackId(sent++), body]))
      for (let i = 20; i > 0; i--) {
        const { payload } = await listening!.next({ type: MESSAGE.event })
        expect([payload.readInt32BE(0), payload.readInt32BE(4)]).to.deep.equal([id, sent - i])
      }
      return stage.broker.program.stderr.includes('does not read its events')
    })
    deaf!.destroy()
    listening!.destroy()
  })
})
