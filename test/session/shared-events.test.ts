import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { decodeError, errorReply, rpcError } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { EventDaemon, encodeDomain, eventsIn, registrationArgs } from '../support/event-daemon.js'
import { frame, type Frame } from '../support/frame-socket.js'
import { settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { eachTrial, type TimedTrial, type MemoryGuest } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const CONSOLE = REMOTE.domainOpenConsole
const {
  connectDomainEventRegister: OLDEST, connectDomainEventDeregister: OLDEST_OFF, connectDomainEventRegisterAny: OLDER,
  connectDomainEventDeregisterAny: OLDER_OFF, connectDomainEventCallbackRegisterAny: ON, connectDomainEventCallbackDeregisterAny: OFF,
  domainEventLifecycle, domainEventCallbackLifecycle: LIFECYCLE, domainEventReboot, domainEventCallbackReboot: REBOOT
} = REMOTE
const UUID = '07'.repeat(16)
const domain = (uuid = UUID, name = 'x', id = -1): Buffer => encodeDomain(uuid, name, id)
const args = registrationArgs
const number = (n: number): Buffer => new XdrWriter().i32(n).finish()

describe('events of clients that share driver connections', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  /** Makes a call that registers or deregisters, and lets the daemon answer on the connection for events. The body, or the error. */
  async function ask(guest: MemoryGuest, proc: number, body?: Buffer, prog: number = PROGRAM.remote): Promise<Buffer | string> {
    const serial = guest.call(proc, body, { prog })
    for (let turn = 0; turn < 6; turn++) {
      await settle()
      daemon?.serve()
      daemon ??= trial.upstreams[1] === undefined ? undefined : new EventDaemon(trial.upstreams[1])
      const answer = guest.answers().find(one => one.serial === serial)
      if (answer === undefined) continue
      const payload = Buffer.from(answer.payload, 'latin1')
      if (answer.status === STATUS.ok) return payload
      const { code, domain: raisedBy, message } = decodeError(payload)
      return `${code} ${raisedBy} ${message}`
    }
    throw new Error('not answered')
  }
  let daemon: EventDaemon | undefined
  beforeEach(() => (daemon = undefined))

  const idOf = async (guest: MemoryGuest, proc = ON, body = args(0)): Promise<number> =>
    ((await ask(guest, proc, body)) as Buffer).readInt32BE(0)
  const heard = (guest: MemoryGuest): string[] =>
    eventsIn(guest.taken()).map(({ proc, body }) => {
      const id = proc === domainEventLifecycle || proc === domainEventReboot ? '' : `${body.readInt32BE(0)} `
      return `${proc} ${id}${body.toString('latin1', id === '' ? 0 : 4)}`
    })

  it('are registered for once, on one connection more, and each gets them once, with ids of its own', async () => {
    const guests = await trial.guests(5)
    await idOf(guests[0]!, ON, args(5))
    const ids = []
    for (const guest of guests) ids.push(await idOf(guest))
    expect(trial.upstreams).to.have.length(2)
    expect(daemon!.made).to.have.length(2)
    expect(ids[0]).to.equal(ids[1]! + 1)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    for (const [i, guest] of guests.entries()) expect(heard(guest)).to.deep.equal([`${LIFECYCLE} ${ids[i]} abcd`])
    expect(trial.upstreams[0]!.take()).to.deep.equal([])
  })

  it('come in the form in which each has registered', async () => {
    const [a, b, c] = [await trial.open(), await trial.open(), await trial.open()]
    expect(await ask(a, OLDEST)).to.deep.equal(number(0))
    expect(await ask(b, OLDER, number(0))).to.deep.equal(Buffer.alloc(0))
    expect(await ask(b, OLDER, number(1))).to.deep.equal(Buffer.alloc(0))
    const id = await idOf(c)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    daemon!.send(REBOOT, 1, Buffer.from('efgh'))
    expect(heard(a)).to.deep.equal([`${domainEventLifecycle} abcd`])
    expect(heard(b)).to.deep.equal([`${domainEventLifecycle} abcd`, `${domainEventReboot} efgh`])
    expect(heard(c)).to.deep.equal([`${LIFECYCLE} ${id} abcd`])
  })

  it('of one object and of all are two registrations, and whoever has both hears twice, as at a daemon', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const [all, one] = [await idOf(a), await idOf(a, ON, args(0, domain()))]
    const same = await idOf(b, ON, args(0, domain(UUID, 'renamed', 9)))
    expect(daemon!.made).to.have.length(2)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'), UUID)
    daemon!.send(LIFECYCLE, 0, Buffer.from('efgh'), '08'.repeat(16))
    expect(heard(a)).to.deep.equal([`${LIFECYCLE} ${all} abcd`, `${LIFECYCLE} ${one} abcd`, `${LIFECYCLE} ${all} efgh`])
    expect(heard(b)).to.deep.equal([`${LIFECYCLE} ${same} abcd`])
  })

  it('are refused to a session that has them already, in whatever way, in the daemon\'s words', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const tracked = '8 0 invalid argument: event callback already tracked'
    await ask(a, OLDEST)
    expect([await ask(a, OLDEST), await ask(a, OLDER, number(0)), await ask(a, ON, args(0))]).to.deep.equal([tracked, tracked, tracked])
    await idOf(b, ON, args(0, domain()))
    expect(await ask(b, ON, args(0, domain()))).to.equal(tracked)
    expect(await idOf(b), 'of all').to.be.a('number')
    expect(daemon!.made).to.have.length(2)
  })

  it('are not taken from somebody else, nor twice', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const id = await idOf(a)
    const wrong = `1 7 internal error: domain event callback ${id} not registered`
    expect(await ask(b, OFF, number(id))).to.equal(wrong)
    expect(await ask(b, OLDEST_OFF)).to.equal('1 7 internal error: domain event 0 not registered')
    expect(await ask(b, OLDER_OFF, number(3))).to.equal('1 7 internal error: domain event 3 not registered')
    expect(await ask(a, REMOTE.connectNetworkEventDeregisterAny, number(id))).to.contain(`network event callback ${id} not registered`)
    expect(await ask(a, OFF, number(id))).to.deep.equal(Buffer.alloc(0))
    expect(await ask(a, OFF, number(id))).to.equal(wrong)
    expect(daemon!.made).to.deep.equal([])
  })

  it('go in the older way with the first of them, whatever way that was', async () => {
    const guest = await trial.open()
    const [one, all] = [await idOf(guest, ON, args(0, domain())), await idOf(guest)]
    expect(await ask(guest, OLDEST_OFF)).to.deep.equal(number(0))
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'), UUID)
    expect(heard(guest)).to.deep.equal([`${LIFECYCLE} ${all} abcd`])
    expect(one).not.to.equal(all)
    expect(await ask(guest, OLDER_OFF, number(0))).to.deep.equal(Buffer.alloc(0))
    expect(daemon!.made).to.deep.equal([])
  })

  it('are refused where the call cannot be understood, or the older way does not know them', async () => {
    const guest = await trial.open()
    expect(await ask(guest, ON, Buffer.alloc(3))).to.equal('39 7 Unable to decode message payload')
    expect(await ask(guest, OFF)).to.equal('39 7 Unable to decode message payload')
    expect(await ask(guest, OLDER, number(16))).to.equal('1 7 internal error: unsupported event ID 16')
    expect(await ask(guest, OLDER_OFF, number(-1))).to.equal('1 7 internal error: unsupported event ID -1')
    expect(trial.upstreams, 'opened for nothing').to.have.length(1)
  })

  it('are for those only who still want them, and then for nobody, and for one who comes then anew', async () => {
    const [a, b, c] = [await trial.open(), await trial.open(), await trial.open()]
    const ids = [await idOf(a), await idOf(b)]
    await ask(a, OFF, number(ids[0]!))
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    expect([heard(a), heard(b)]).to.deep.equal([[], [`${LIFECYCLE} ${ids[1]} abcd`]])
    b.port.close()
    daemon!.serve()
    expect(daemon!.made).to.deep.equal([])
    const id = await idOf(c)
    daemon!.send(LIFECYCLE, 0, Buffer.from('efgh'))
    expect(heard(c)).to.deep.equal([`${LIFECYCLE} ${id} efgh`])
    expect(trial.upstreams).to.have.length(2)
  })

  it('are asked for after the daemon has answered that they are given up', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    await ask(a, OFF, number(await idOf(a)))
    await idOf(a)
    a.port.close()
    b.call(ON, args(0))
    await settle()
    const calls = trial.upstreams[1]!.take()
    expect(calls.map(({ proc }) => proc)).to.deep.equal([OFF])
    daemon!.answer(calls[0]!)
    expect(trial.upstreams[1]!.procedures()).to.deep.equal([ON])
  })

  it('stay with the others of the key when a session gets a connection of its own, and while it has one', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const ids = [await idOf(a), await idOf(b)]
    a.call(CONSOLE)
    a.bound = true
    await settle()
    const own = trial.upstreams[2]!
    own.reply(own.take()[0]!)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    expect([heard(a), heard(b)]).to.deep.equal([[`${LIFECYCLE} ${ids[0]} abcd`], [`${LIFECYCLE} ${ids[1]} abcd`]])
    const more = await idOf(a, ON, args(1))
    a.bound = false
    a.call(CALL)
    const [call] = own.take()
    own.reply(call!)
    expect(own.procedures(), 'its own goes').to.deep.equal([REMOTE.connectClose])
    daemon!.send(LIFECYCLE, 0, Buffer.from('efgh'))
    daemon!.send(REBOOT, 1, Buffer.from('ijkl'))
    expect(heard(a)).to.deep.equal([`${LIFECYCLE} ${ids[0]} efgh`, `${REBOOT} ${more} ijkl`])
    expect(trial.upstreams).to.have.length(3)
  })

  it('of QEMU\'s monitor are shared by those who want all, each as often as it asks, and not with conditions', async () => {
    const { connectDomainMonitorEventRegister: MONITOR, connectDomainMonitorEventDeregister: MONITOR_OFF, domainMonitorEvent } = QEMU
    const wanted = (name?: string): Buffer => {
      const xdr = new XdrWriter().bool(false).bool(name !== undefined)
      if (name !== undefined) xdr.string(name)
      return xdr.u32(0).finish()
    }
    const [a, b] = [await trial.open(), await trial.open()]
    const ids: number[] = []
    for (const guest of [a, a, b]) ids.push(((await ask(guest, MONITOR, wanted(), PROGRAM.qemu)) as Buffer).readInt32BE(0))
    expect(daemon!.made).to.have.length(1)
    daemon!.send(domainMonitorEvent, 0, Buffer.from('abcd'), '', PROGRAM.qemu)
    expect(heard(a)).to.deep.equal([`${domainMonitorEvent} ${ids[0]} abcd`, `${domainMonitorEvent} ${ids[1]} abcd`])
    b.call(MONITOR, wanted('STOP'), { prog: PROGRAM.qemu })
    await settle()
    const own = trial.upstreams[2]!
    const [call] = own.take()
    expect(call!.payload.equals(wanted('STOP'))).to.equal(true)
    own.reply(call!, number(0))
    b.taken()
    // By its id it is found again, wherever it is.
    b.call(MONITOR_OFF, number(0), { prog: PROGRAM.qemu })
    expect(own.procedures()).to.deep.equal([MONITOR_OFF])
    expect(await ask(b, MONITOR_OFF, number(ids[2]!), PROGRAM.qemu)).to.deep.equal(Buffer.alloc(0))
  })

  it('are a matter of the session\'s own connection beyond 1,024, or with a name that is too long', async () => {
    const guest = await trial.open()
    for (let i = 0; i < 1024; i++) guest.call(ON, args(0, domain(i.toString(16).padStart(32, '0'))))
    await settle()
    daemon = new EventDaemon(trial.upstreams[1]!)
    while (daemon.serve() > 0) await settle()
    expect(daemon.made).to.have.length(1024)
    guest.taken()
    guest.call(ON, args(1))
    await settle()
    expect(trial.upstreams).to.have.length(3)
    expect(trial.upstreams[2]!.procedures()).to.deep.equal([ON])
    const other = await trial.open()
    other.call(ON, args(0, domain(UUID, 'x'.repeat(2000))))
    await settle()
    expect(trial.upstreams[3]!.procedures()).to.deep.equal([ON])
  })

  it('are kept for a client that does not read, up to 1 MiB, and then it is cut off', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    for (const guest of [a, b]) await idOf(guest)
    a.port.pause()
    const body = pattern(100_000)
    for (let i = 0; i < 10; i++) daemon!.send(LIFECYCLE, 0, body)
    expect([eventsIn(a.taken()).length, a.heard]).to.deep.equal([10, []])
    a.port.resume()
    a.port.pause()
    for (let i = 0; i < 10; i++) daemon!.send(LIFECYCLE, 0, body)
    expect(a.heard).to.deep.equal([])
    daemon!.send(LIFECYCLE, 0, body)
    expect(a.heard).to.deep.equal(['closed: does not read its events'])
    a.port.close()
    daemon!.send(LIFECYCLE, 0, body)
    expect([eventsIn(b.taken()).length, b.heard]).to.deep.equal([22, []])
  })

  it('wait with the calls of a client that does not read', async () => {
    const guest = await trial.open()
    guest.port.pause()
    guest.call(ON, args(0))
    await settle()
    expect([guest.waiting.length, trial.upstreams.length]).to.deep.equal([1, 1])
    guest.port.resume()
    await settle()
    expect([guest.waiting.length, trial.upstreams.length]).to.deep.equal([0, 2])
  })

  it('do not fall into a reply that comes by another connection', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const id = await idOf(a)
    await idOf(b)
    a.call(CALL)
    const [call] = trial.upstreams[0]!.take()
    const long = pattern(2 ** 21)
    trial.upstreams[0]!.reply(call!)
    a.taken()
    a.call(CALL)
    const [next] = trial.upstreams[0]!.take()
    const reply = Buffer.concat([Buffer.alloc(HEADER_BYTES), long])
    next!.bytes.copy(reply, 0, 0, HEADER_BYTES)
    reply.writeUInt32BE(reply.length, 0)
    reply.writeUInt32BE(1, 16)
    trial.upstreams[0]!.transport.receive(reply.subarray(0, 100_000))
    expect(a.source.inPassedFrame).to.equal(true)
    let waits = true
    a.replies.write = (): void => void (waits = a.source.inPassedFrame)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    expect(waits, 'given to the writer as a whole frame, which lets it wait').to.equal(true)
    expect(heard(b)).to.have.length(1)
    expect(id).to.be.a('number')
  })

  describe('when the connection to the daemon is lost', () => {
    it('cost each who listens its way there, once, and nobody else', async () => {
      const [a, b, c] = [await trial.open(), await trial.open(), await trial.open()]
      for (const guest of [a, b]) await idOf(guest)
      trial.upstreams[1]!.transport.lose(0)
      expect([a, b, c].map(({ heard: all }) => all.length)).to.deep.equal([1, 1, 0])
      c.call(CALL)
      expect(trial.upstreams[0]!.take()).to.have.length(1)
    })

    it('are made again by those who come back, with one call for all', async () => {
      const guests = await trial.guests(500)
      for (const guest of guests) guest.call(ON, args(0))
      await settle()
      await settle()
      new EventDaemon(trial.upstreams[1]!).serve()
      trial.upstreams[0]!.transport.lose(0)
      expect(guests.filter(({ heard: all }) => all.length === 1)).to.have.length(500)
      const before = trial.upstreams.length
      const opened = await Promise.all(guests.map(() => trial.opened()))
      const renewed = opened.map(one => one.call(ON, args(0), PROGRAM.remote))
      await settle()
      await settle()
      expect(trial.upstreams).to.have.length(before + 2)
      const again = new EventDaemon(trial.upstreams.at(-1)!)
      expect(again.serve()).to.equal(1)
      const ids = await Promise.all(renewed)
      expect(ids).to.have.length(500)
      expect(ids.every(id => id.length === 4)).to.equal(true)
    })

    it('fail to be renewed with it, and are not asked for by one that has gone', async () => {
      const guest = await trial.opened()
      const renewed = guest.call(ON, args(0), PROGRAM.remote)
      await settle()
      trial.upstreams[1]!.transport.lose(0)
      expect(await renewed.catch((error: unknown) => (error as Error).message)).to.equal('internal error: client socket is closed')
      expect(await guest.call(ON, args(0), PROGRAM.remote).catch((error: unknown) => (error as Error).message)).to.equal(
        'internal error: client socket is closed')
    })
  })

  it('cost one that comes back its way there where no connection can be had, so that it comes back again with all of them', async () => {
    const condition = new XdrWriter().bool(false).bool(true).string('STOP').u32(0).finish()
    const wishes = [[ON, args(0), PROGRAM.remote], [QEMU.connectDomainMonitorEventRegister, condition, PROGRAM.qemu]] as const
    for (const [proc, body, prog] of wishes) {
      const guest = await trial.opened()
      trial.drivers.refusal = rpcError('gone again')
      await guest.call(proc, body, prog).then(() => expect.fail('registered'), () => undefined)
      expect(guest.serve(), 'it is there').to.equal(false)
      trial.drivers.refusal = undefined
    }
  })

  it('are not asked for by one that comes back and is lost before it asks', async () => {
    const guest = await trial.opened()
    trial.upstreams[0]!.transport.lose(0)
    trial.drivers.refusal = rpcError('away')
    let outcome: unknown
    guest.call(ON, args(0), PROGRAM.remote).catch((error: unknown) => (outcome = error))
    for (let turn = 0; turn < 3; turn++) await settle()
    expect([String(outcome), trial.upstreams.length]).to.deep.equal([String(driverClosed()), 1])
  })

  it('cannot be had where no connection can, and the session goes on', async () => {
    const guest = await trial.open()
    trial.drivers.refusal = rpcError('no more')
    guest.call(ON, args(0))
    for (let turn = 0; turn < 3; turn++) await settle()
    const [answer] = guest.answers()
    expect(decodeError(Buffer.from(answer!.payload, 'latin1')).message).to.equal('no more')
    trial.drivers.refusal = undefined
    expect(await idOf(guest)).to.be.a('number')
  })

  it('are refused with a word of ours when the daemon refuses them with what is no error, and nothing else comes of it', async () => {
    const guest = await trial.open()
    const id = await idOf(guest)
    for (const nonsense of [Buffer.alloc(0), Buffer.alloc(12, 0x23)]) {
      guest.call(ON, args(5))
      await settle()
      const [{ proc, serial }] = trial.upstreams[1]!.take() as [Frame]
      trial.upstreams[1]!.transport.receive(frame({ proc, serial, type: MESSAGE.reply, status: STATUS.error }, nonsense))
      const [answer] = guest.answers()
      expect(decodeError(Buffer.from(answer!.payload, 'latin1')).message).to.equal('driver daemon sent an error that cannot be decoded')
    }
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    expect(heard(guest)).to.deep.equal([`${LIFECYCLE} ${id} abcd`])
  })

  it('are registered for elsewhere by those who come when the daemon has lost another one that it needs', async () => {
    const [a, b] = [await trial.open(), await trial.open()]
    const networks = REMOTE.connectNetworkEventRegisterAny
    const id = await idOf(a)
    b.call(networks, args(0))
    await settle()
    const [call] = trial.upstreams[1]!.take()
    trial.upstreams[1]!.transport.receive(errorReply(call!, driverClosed()))
    expect(b.answers()).to.have.length(1)
    b.call(networks, args(0))
    await settle()
    await settle()
    expect(trial.upstreams).to.have.length(3)
    expect(new EventDaemon(trial.upstreams[2]!).serve()).to.equal(1)
    daemon!.send(LIFECYCLE, 0, Buffer.from('abcd'))
    expect(heard(a), 'hears as before').to.deep.equal([`${LIFECYCLE} ${id} abcd`])
  })

  it('leave a connection behind for as long as the settings say, also when they change', async () => {
    const guest = await trial.open()
    const id = await idOf(guest)
    const second = await idOf(guest, ON, args(1))
    await ask(guest, OFF, number(id))
    trial.settings.driverIdleTimeoutMs = 100
    trial.pool.reconsider()
    trial.time.advance(100)
    expect(trial.upstreams[1]!.procedures(), 'while there is another').to.deep.equal([])
    trial.settings.driverIdleTimeoutMs = 60_000
    await ask(guest, OFF, number(second))
    trial.settings.driverIdleTimeoutMs = 100
    trial.pool.reconsider()
    trial.time.advance(100)
    expect(trial.upstreams[1]!.procedures()).to.deep.equal([REMOTE.connectClose])
  })

  it('leave no connection behind, once nobody has registered for a while, or nobody is left', async () => {
    trial.settings.driverIdleTimeoutMs = 100
    const guest = await trial.open()
    await ask(guest, OFF, number(await idOf(guest)))
    await trial.time.until('its end', () => trial.upstreams[1]!.take().some(({ proc }) => proc === REMOTE.connectClose))
    guest.call(ON, args(0))
    await settle()
    await settle()
    const [, , second] = trial.upstreams
    new EventDaemon(second!).serve()
    guest.port.close()
    expect(second!.procedures()).to.deep.equal([REMOTE.connectClose])
  })
})
