import { expect } from 'chai'
import { templated } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { decodeOpen } from '#protocol/messages/connect.js'
import { decodeCallbackId, encodeCallbackId } from '#protocol/messages/events.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { internalErrorPayload } from '../support/error-payload.js'
import type { Answer, DriverConnection } from '../support/fake-driver.js'
import { frame, type Frame } from '../support/frame-socket.js'
import { bytesOnTheWay } from '../support/kernel-queues.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { settled, waitFor } from '../support/waiting.js'

const GET_XML = REMOTE.domainGetXmlDesc
const DOMAIN = REMOTE.connectDomainEventCallbackRegisterAny
const NO_DOMAIN = REMOTE.connectDomainEventCallbackDeregisterAny
const NETWORK = REMOTE.connectNetworkEventRegisterAny
const DOMAIN_EVENT = REMOTE.domainEventCallbackLifecycle
const NETWORK_EVENT = REMOTE.networkEventLifecycle
const OLD_FORM = REMOTE.connectDomainEventRegisterAny

/**
 * Each client has a driver connection of its own: what is made again on it, in which order, and under which ids, is what is
 * looked at. How it is with those that clients share stands in shared-events.test.ts and shared-connections.test.ts.
 */
const OWN = { driver_sharing: 'off' }

/** Numbers registrations as a driver of a daemon does, from `first`. */
function numbering(first: number): Answer {
  let next = first
  return () => encodeCallbackId(next++)
}

/** Event 0 of everything. */
const ALL = Buffer.alloc(8)

/** An event that answers the registration with this id at the daemon. */
const about = (id: number, seed: number): Buffer => Buffer.concat([encodeCallbackId(id), pattern(20, seed)])

describe('a client whose driver daemon is restarted', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let client: RawClient
  let daemon: DriverConnection
  before(async () => (stage = await Stage.start(cleanup, { ...OWN, log_level: 2, driver_connect_timeout: 5 })))
  after(() => cleanup.run())
  beforeEach(async () => {
    stage.driver.otherwise = call => call.payload
    stage.driver.on(DOMAIN, numbering(0)).on(NETWORK, numbering(0))
    for (const proc of [REMOTE.connectOpen, REMOTE.connectSetIdentity]) stage.driver.on(proc, () => Buffer.alloc(0))
    ;({ client, daemon } = await stage.open(stage.broker.socket))
  })
  afterEach(() => client.destroy())

  async function registered(proc: number, seed = 0): Promise<number> {
    const reply = await client.call(proc, pattern(8, seed))
    expect(reply.status).to.equal(STATUS.ok)
    return decodeCallbackId(reply.payload)
  }

  /** The daemon ends and another is there in the same place. Resolves when the client is known to have lost it. */
  const restart = (): Promise<void> => stage.untilLost(() => daemon.destroy())

  /** What follows CONNECT_OPEN, the identity and all that: calls that are the client's, or made on its behalf. */
  const callsOf = ({ calls }: DriverConnection): Frame[] => {
    const identified = calls.findIndex(({ proc }) => proc === REMOTE.connectSetIdentity)
    return identified < 0 ? [] : calls.slice(identified + 1)
  }

  it('goes on with its next call, in the same connection, name, flags and identity', async () => {
    const connected = stage.driver.nextConnection()
    await restart()
    const reply = await client.call(GET_XML, pattern(40), { serial: 77 })
    expect(reply).to.include({ status: STATUS.ok, serial: 77 })
    expect(reply.payload).to.deep.equal(pattern(40))
    const again = await connected
    const handshake = ({ calls }: DriverConnection): [number, string][] =>
      calls.slice(0, 2).map(({ proc, payload }) => [proc, payload.toString('hex')])
    expect(handshake(again)).to.deep.equal(handshake(daemon))
    expect(callsOf(again).map(({ serial }) => serial)).to.deep.equal([77])
  })

  it('is read-only at the new daemon if it was at the old one', async () => {
    const driver = await stage.addDriver('virtqemud-sock-ro')
    const reader = await stage.connect()
    await reader.open('qemu:///system', 1)
    const connected = driver.nextConnection()
    await stage.untilLost(() => driver.latest.destroy())
    expect((await reader.call(GET_XML)).status).to.equal(STATUS.ok)
    const open = (await connected).calls.find(({ proc }) => proc === REMOTE.connectOpen)!
    expect(decodeOpen(open.payload)).to.deep.equal({ name: 'qemu:///system', flags: 1 })
    await driver.stop()
  })

  it('has its calls of the meantime made in their order, and none before the connection is open', async () => {
    let open: Frame | undefined
    stage.driver.on(REMOTE.connectOpen, call => {
      open = call
      return undefined
    })
    const connected = stage.driver.nextConnection()
    await restart()
    for (let serial = 1; serial <= 9; serial++) {
      client.post(GET_XML, pattern(10, serial), { serial })
      await client.call(REMOTE.authList, undefined, { serial: 40 + serial })
    }
    const again = await connected
    await waitFor('CONNECT_OPEN', () => open)
    await client.call(REMOTE.authList, undefined, { serial: 50 })
    expect(again.serialsOf(GET_XML)).to.deep.equal([])
    again.reply(open!)
    for (let serial = 1; serial <= 9; serial++) {
      expect((await client.next({ serial })).payload).to.deep.equal(pattern(10, serial))
    }
    expect(again.serialsOf(GET_XML)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('gets events under the ids that it knows', async () => {
    stage.driver.on(DOMAIN, numbering(5)).on(NETWORK, numbering(5))
    const ids = [await registered(DOMAIN, 1), await registered(DOMAIN, 2), await registered(NETWORK, 3)]
    expect(ids).to.deep.equal([5, 6, 5])
    stage.driver.on(DOMAIN, numbering(6)).on(NETWORK, numbering(0))
    const connected = stage.driver.nextConnection()
    await restart()
    const again = await connected
    const renewed = await waitFor('three registrations', () => callsOf(again).length >= 3 && callsOf(again))
    expect(renewed.map(({ proc, payload }) => [proc, payload.toString('hex')])).to.deep.equal([
      [DOMAIN, pattern(8, 1).toString('hex')],
      [DOMAIN, pattern(8, 2).toString('hex')],
      [NETWORK, pattern(8, 3).toString('hex')]
    ])
    await client.call(GET_XML)
    again.event(DOMAIN_EVENT, about(6, 1))
    again.event(DOMAIN_EVENT, about(7, 2))
    again.event(NETWORK_EVENT, about(0, 3))
    expect((await client.next({ proc: DOMAIN_EVENT })).payload).to.deep.equal(about(5, 1))
    expect((await client.next({ proc: DOMAIN_EVENT })).payload).to.deep.equal(about(6, 2))
    expect((await client.next({ proc: NETWORK_EVENT })).payload).to.deep.equal(about(5, 3))
  })

  it('deregisters by the ids that it knows, even with its first call', async () => {
    stage.driver.on(DOMAIN, numbering(5))
    await registered(DOMAIN, 1)
    await registered(DOMAIN, 2)
    stage.driver.on(DOMAIN, numbering(100))
    const connected = stage.driver.nextConnection()
    await restart()
    expect((await client.call(NO_DOMAIN, encodeCallbackId(6))).status).to.equal(STATUS.ok)
    const again = await connected
    expect(again.calls.at(-1)).to.include({ proc: NO_DOMAIN })
    expect(decodeCallbackId(again.calls.at(-1)!.payload)).to.equal(101)
    again.event(DOMAIN_EVENT, about(101, 1))
    again.event(DOMAIN_EVENT, about(100, 2))
    expect((await client.next({ type: MESSAGE.event })).payload, 'the event of the other').to.deep.equal(about(5, 2))
  })

  it('registers for more, under ids that are free', async () => {
    stage.driver.on(DOMAIN, numbering(5))
    await registered(DOMAIN, 1)
    stage.driver.on(DOMAIN, numbering(4))
    const connected = stage.driver.nextConnection()
    await restart()
    await client.call(GET_XML)
    const again = await connected
    const id = await registered(DOMAIN, 2)
    expect(id).to.not.equal(5)
    again.event(DOMAIN_EVENT, about(5, 9))
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(about(id, 9))
  })

  it('has the older, numberless registrations and those of the qemu program made again, too', async () => {
    await client.call(OLD_FORM, pattern(4, 1))
    await client.call(REMOTE.connectDomainEventRegister)
    stage.driver.otherwise = numbering(3)
    await client.call(QEMU.connectDomainMonitorEventRegister, pattern(12, 2), { prog: PROGRAM.qemu })
    stage.driver.otherwise = numbering(9)
    const connected = stage.driver.nextConnection()
    await restart()
    const again = await connected
    await waitFor('three registrations', () => callsOf(again).length === 3)
    await client.call(GET_XML)
    again.event(REMOTE.domainEventLifecycle, pattern(30))
    again.event(QEMU.domainMonitorEvent, about(11, 4), PROGRAM.qemu)
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(pattern(30))
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(about(3, 4))
  })

  it('keeps its registrations when the new daemon dies while they are made', async () => {
    await registered(DOMAIN, 1)
    await registered(DOMAIN, 2)
    stage.driver.on(DOMAIN, (_call, connection) => {
      if (callsOf(connection).length === 2) connection.destroy()
      return undefined
    })
    const { connections } = stage.driver
    const known = connections.length
    await restart()
    await (await waitFor('the second', () => connections[known])).end()
    stage.driver.on(DOMAIN, numbering(40))
    const third = await waitFor('the third', () => connections[known + 1])
    await waitFor('two registrations', () => callsOf(third).length === 2)
    await client.call(GET_XML)
    third.event(DOMAIN_EVENT, about(41, 5))
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(about(1, 5))
  })

  it('loses a registration that the new daemon refuses, and keeps the others', async () => {
    await registered(DOMAIN, 1)
    await registered(DOMAIN, 2)
    const refusal = templated(42, 10, 'Domain not found: %1$s', 'gone')
    stage.driver.on(DOMAIN, call => (call.payload.equals(pattern(8, 1)) ? refusal : encodeCallbackId(0)))
    const connected = stage.driver.nextConnection()
    await restart()
    const again = await connected
    expect((await client.call(GET_XML)).status).to.equal(STATUS.ok)
    again.event(DOMAIN_EVENT, about(0, 5))
    expect((await client.next({ type: MESSAGE.event })).payload).to.deep.equal(about(1, 5))
    await waitFor('the log', () => /an event registration was refused .*Domain not found: gone/.test(stage.broker.program.stderr))
  })

  it('is not reconnected behind its back when it registered a close callback, but told', async () => {
    await client.call(REMOTE.connectRegisterCloseCallback)
    await registered(DOMAIN, 1)
    const { length } = stage.driver.connections
    await restart()
    await client.next({ proc: REMOTE.connectEventConnectionClosed })
    const { payload } = await client.call(GET_XML)
    expect(payload).to.deep.equal(internalErrorPayload('client socket is closed'))
    expect(stage.driver.connections).to.have.length(length)
  })
})

describe('a client with registrations of several drivers', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('gets each event under its own id, though the drivers number alike', async () => {
    const stage = await Stage.start(cleanup)
    stage.driver.on(DOMAIN, numbering(0)).on(NETWORK, numbering(0))
    const { client } = await stage.open()
    const domain = decodeCallbackId((await client.call(DOMAIN, ALL)).payload)
    const network = decodeCallbackId((await client.call(NETWORK, ALL)).payload)
    const { latest: daemon } = stage.driver
    daemon.event(NETWORK_EVENT, about(0, 1))
    daemon.event(DOMAIN_EVENT, about(0, 2))
    expect((await client.next({ proc: NETWORK_EVENT })).payload).to.deep.equal(about(network, 1))
    expect((await client.next({ proc: DOMAIN_EVENT })).payload).to.deep.equal(about(domain, 2))
  })
})

describe('a client whose driver daemon is down', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, { actor_threads: 1, log_level: 2 })))
  after(() => cleanup.run())

  it('has its calls fail fast, and is reconnected when the daemon is back', async () => {
    const { client } = await stage.open()
    await stage.untilLost(() => stage.driver.stop())
    const tries = (): number => stage.broker.program.stderr.split('not reconnected').length - 1
    let calls = 0
    for (; tries() < 3; calls++) expect((await client.call(GET_XML)).status).to.equal(STATUS.error)
    expect(calls, 'calls during three tries: no pause between tries is waited for').to.be.greaterThan(10)
    const driver = await stage.addDriver('virtqemud-sock')
    const reply = await waitFor('an answer', async () => {
      const { status, payload } = await client.call(GET_XML, pattern(9))
      return status === STATUS.ok && payload
    })
    expect(reply).to.deep.equal(pattern(9))
    await driver.stop()
  })

  it('does not knock at its door all the time', async () => {
    const driver = await stage.addDriver('virtqemud-sock')
    const client = await stage.connect()
    await client.open('qemu:///system')
    let opened = 0
    driver.on(REMOTE.connectOpen, () => {
      opened++
      return templated(38, 7, '%1$s', 'still starting')
    })
    await stage.untilLost(() => driver.latest.destroy())
    const began = performance.now()
    while (opened < 4) expect((await client.call(GET_XML)).status).to.equal(STATUS.error)
    expect(performance.now() - began, 'ms of the pauses between four tries').to.be.greaterThan(1600)
    await driver.stop()
  })

  it('is understood afterwards, even if it was in the middle of a call and had too many waiting', async () => {
    const driver = await stage.addDriver('virtqemud-sock')
    const client = await stage.connect()
    await client.open('qemu:///system')
    const nothing: Answer = () => undefined
    driver.on(REMOTE.connectOpen, nothing)
    const connected = driver.nextConnection()
    await stage.untilLost(() => driver.latest.destroy())
    for (let serial = 1; serial <= 400; serial++) client.post(GET_XML, pattern(8), { serial })
    const half = frame({ proc: GET_XML, serial: 401 }, pattern(3000))
    client.write(half.subarray(0, 1700))
    // It reads no more when it has too many.
    await settled('what it has not read', () => bytesOnTheWay(client.socket))
    const again = await connected
    const open = await again.next({ proc: REMOTE.connectOpen })
    expect(decodeOpen(open.payload).name).to.equal('qemu:///system')
    driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
    again.fail(open, templated(38, 7, '%1$s', 'still starting'))
    for (let serial = 1; serial <= 256; serial++) expect(await client.next({ serial })).to.include({ status: STATUS.error })
    client.write(half.subarray(1700))
    for (let serial = 257; serial <= 401; serial++) await client.next({ serial })
    const reply = await waitFor('an answer', async () => {
      const { status, payload } = await client.call(GET_XML, pattern(9), { serial: 1000 })
      return status === STATUS.ok && payload
    })
    expect(reply).to.deep.equal(pattern(9))
    await driver.stop()
  })
})

describe('clients of one driver daemon that was away for long', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('are all served as soon as one of them, or a newcomer, has reached it again', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1, log_level: 2 })
    const clients: RawClient[] = []
    for (let i = 0; i < 20; i++) clients.push((await stage.open()).client)
    await stage.untilLost(() => stage.driver.stop(), clients.length)
    // Each has its own pause between tries, which has grown as long as it gets with the fifth.
    await waitFor('five tries of each', async () => {
      const replies = await Promise.all(clients.map(client => client.call(GET_XML)))
      expect(replies.every(({ status }) => status === STATUS.error)).to.equal(true)
      return stage.broker.program.stderr.split('not reconnected').length > 5 * clients.length
    })
    const back = await stage.addDriver('virtqemud-sock')
    const newcomer = await stage.connect()
    expect((await newcomer.open('qemu:///system')).status).to.equal(STATUS.ok)
    for (const client of clients) expect((await client.call(GET_XML)).status).to.equal(STATUS.ok)
    await back.stop()
  })

  it('hear of events again two seconds later at most, without a call', async () => {
    const stage = await Stage.start(cleanup, { ...OWN, actor_threads: 1, log_level: 2 })
    stage.driver.on(DOMAIN, numbering(0))
    const count = 100
    const registering = performance.now()
    for (let i = 0; i < count; i++) {
      const { client } = await stage.open()
      expect((await client.call(DOMAIN, pattern(8, i))).status).to.equal(STATUS.ok)
    }
    const took = performance.now() - registering
    await stage.untilLost(() => stage.driver.stop(), count)
    await waitFor('pauses to grow', () => stage.broker.program.stderr.split('not reconnected').length > 5 * count)
    const back = (await stage.addDriver('virtqemud-sock')).on(DOMAIN, numbering(0))
    const registered = (): number => back.connections.filter(connection => connection.serialsOf(DOMAIN).length > 0).length
    // As quick as it may be, each has to register again.
    await waitFor('all of them', () => registered() === count, 4000 + 10 * took)
    await back.stop()
  })
})

describe('driver_reconnect = 0', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('leaves clients with an error when their driver daemon is gone, as virtproxyd does', async () => {
    const stage = await Stage.start(cleanup, { driver_reconnect: 0, log_level: 2 })
    const { client } = await stage.open()
    await client.call(DOMAIN, ALL)
    const { connections } = stage.driver
    const { length } = connections
    await stage.untilLost(() => connections.forEach(connection => connection.destroy()))
    const { payload } = await client.call(GET_XML)
    expect(payload).to.deep.equal(internalErrorPayload('client socket is closed'))
    expect(connections).to.have.length(length)
    expect((await client.open('qemu:///system')).status, 'opening again').to.equal(STATUS.ok)
  })
})
