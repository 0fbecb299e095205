import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: GET_XML, domainOpenConsole: CONSOLE, connectClose: CLOSE, connectRegisterCloseCallback: REGISTER } = REMOTE
const CLOSED = REMOTE.connectEventConnectionClosed

describe('clients that share driver connections', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    stage = await Stage.start(cleanup, { driver_sharing: 'identity', driver_idle_timeout: 5, actor_threads: 1, log_level: 2 })
  })
  after(() => cleanup.run())

  async function clients(count: number): Promise<RawClient[]> {
    const all = await Promise.all(Array.from({ length: count }, () => stage.connect()))
    for (const reply of await Promise.all(all.map(client => client.open('qemu:///system')))) expect(reply.status).to.equal(STATUS.ok)
    return all
  }

  const open = (): DriverConnection[] => stage.driver.connections.filter(({ closed }) => !closed)

  it('make one connection to the daemon, which stays when they have gone', async () => {
    const all = await clients(50)
    expect(stage.driver.connections).to.have.length(1)
    for (const [i, client] of all.entries()) {
      expect((await client.call(GET_XML, pattern(1000, i))).payload.equals(pattern(1000, i))).to.equal(true)
    }
    await Promise.all(all.map(async client => {
      expect((await client.call(CLOSE)).status).to.equal(STATUS.ok)
      await client.end()
    }))
    await clients(1)
    expect(stage.driver.connections).to.have.length(1)
  })

  it('get their own replies of every length, asked for all at once', async () => {
    const all = await clients(20)
    const lengths = [0, 4, 1000, 60_000, 70_000, 300_000, 2_000_000]
    await Promise.all(all.map(async (client, i) => {
      for (const length of lengths) {
        expect((await client.call(GET_XML, pattern(length, i))).payload.equals(pattern(length, i)), `${length} bytes`).to.equal(true)
      }
    }))
    for (const client of all) client.destroy()
  })

  it('are counted in the list of connections, and one that has a connection alone is named', async () => {
    const ctl = new Ctl(cleanup, stage.broker)
    const [client, neighbour] = await clients(2)
    const opened = client!.call(CONSOLE)
    type Listed = { kind: string; clients: number; why?: string; socket: string; identity?: string }[]
    const { connections } = await waitFor('both', async () => {
      const listed = await ctl.json<{ connections: Listed }>('drivers')
      return listed.connections.length === 2 && listed
    })
    const [shared, own] = connections
    expect(shared).to.include({ kind: 'shared', socket: stage.driver.path })
    expect(shared!.clients).to.be.at.least(2)
    expect(own).to.include({ kind: 'own', socket: stage.driver.path, clients: 1, why: 'stream' })
    expect(await ctl.ok('drivers')).to.match(/ own .* client \d+: stream\n/)
    await opened
    client!.destroy()
    neighbour!.destroy()
  })

  it('open a stream on a connection of their own, which ends with it', async () => {
    const [client, neighbour] = await clients(2)
    const known = stage.driver.connections.length
    const opened = client!.call(CONSOLE)
    const own = await waitFor('a connection of its own', () => stage.driver.connections[known])
    await opened
    const [call] = own.calls.filter(({ proc }) => proc === CONSOLE)
    own.data(call!, pattern(5000))
    expect((await client!.next({ type: MESSAGE.stream })).payload.length).to.be.greaterThan(0)
    expect((await neighbour!.call(GET_XML, pattern(9))).payload.equals(pattern(9))).to.equal(true)
    expect(own.serialsOf(GET_XML)).to.deep.equal([])
    own.confirm(call!)
    await waitFor('its end', () => own.closed)
    expect(own.calls.at(-1)!.proc).to.equal(CLOSE)
    expect((await client!.call(GET_XML, pattern(7))).payload.equals(pattern(7))).to.equal(true)
  })

  it('do not wait for one that does not read, nor for one that does not finish its call', async () => {
    const [slow, unfinished, neighbour] = await clients(3)
    slow!.stall()
    const long = Buffer.alloc(4_000_000)
    const answered = stage.driver.otherwise
    stage.driver.otherwise = call => (call.payload.length === 12 ? long : call.payload)
    for (let i = 0; i < 5; i++) slow!.post(GET_XML, Buffer.alloc(12))
    const half = Buffer.alloc(40)
    half.writeUInt32BE(50_000, 0)
    half.writeUInt32BE(0x20008086, 4)
    half.writeUInt32BE(1, 8)
    half.writeUInt32BE(GET_XML, 12)
    unfinished!.write(half)
    for (let i = 0; i < 20; i++) {
      expect((await neighbour!.call(GET_XML, pattern(100, i))).payload.equals(pattern(100, i))).to.equal(true)
    }
    stage.driver.otherwise = answered
    slow!.destroy()
    unfinished!.destroy()
  })

  it('have calls that wait for no hypervisor go past their own that are stuck, and those that wait behind them', async () => {
    const [client] = await clients(1)
    const answered = stage.driver.otherwise
    stage.driver.otherwise = call => (call.proc === GET_XML ? undefined : call.payload)
    for (let i = 0; i < 8; i++) client!.post(GET_XML)
    await waitFor('as many as one client may have', () =>
      open().reduce((sum, { inbox }) => sum + inbox.filter(({ proc }) => proc === GET_XML).length, 0) === 5)
    for (let i = 0; i < 3; i++) {
      const calls = [1, 2].map(seed => client!.call(REMOTE.connectGetLibVersion, pattern(8, seed)))
      for (const [at, { payload }] of (await Promise.all(calls)).entries()) expect(payload).to.deep.equal(pattern(8, at + 1))
    }
    client!.destroy()
    stage.driver.otherwise = answered
  })

  it('hear of the death of the daemon, once each, and are served by the one that comes after it', async () => {
    const [told, other] = await clients(2)
    expect((await told!.call(REGISTER)).status).to.equal(STATUS.ok)
    expect((await told!.call(REGISTER)).status).to.equal(STATUS.error)
    await stage.untilLost(() => open().forEach(connection => connection.destroy()), 2)
    await told!.next({ proc: CLOSED })
    expect((await other!.call(GET_XML, pattern(6))).payload.equals(pattern(6))).to.equal(true)
    expect((await told!.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect((await told!.call(GET_XML, pattern(8))).payload.equals(pattern(8))).to.equal(true)
    expect(told!.inbox.filter(({ proc }) => proc === CLOSED)).to.deep.equal([])
  })

  it('come and go while others call, and nobody gets what is another\'s', async () => {
    const answered = stage.driver.otherwise
    stage.driver.otherwise = (call, daemon) => {
      setTimeout(() => daemon.reply(call, call.payload), Math.random() * 20)
      return undefined
    }
    const comers = async (id: number): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const [client] = await clients(1)
        for (let n = 0; n < 4; n++) client!.post(GET_XML, pattern(200, 1000 * id + i))
        expect((await client!.next({ proc: GET_XML })).payload.equals(pattern(200, 1000 * id + i))).to.equal(true)
        client!.destroy()
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, id) => comers(id)))
    stage.driver.otherwise = answered
  })
})
