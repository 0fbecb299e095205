import { expect } from 'chai'
import { RemoteError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, readHeader } from '#protocol/header.js'
import { EventFrame, notRegistered, readOlderEvent, readTopic, registrationKind, withIds } from '#protocol/messages/event-forms.js'
import { REGISTRATIONS } from '#protocol/messages/events.js'
import { lookup, proceduresOf, QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrError, XdrWriter } from '#protocol/xdr.js'
import { frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'

const event = (proc: number, payload: Buffer, prog: number = PROGRAM.remote): Buffer =>
  frame({ prog, proc, type: MESSAGE.event, serial: 1 }, payload)
const domain = (uuid: number, name = 'x', id = -1): Buffer => new XdrWriter().string(name).fixed(Buffer.alloc(16, uuid)).i32(id).finish()
const args = (eventId: number, object?: Buffer): Buffer =>
  Buffer.concat([new XdrWriter().i32(eventId).bool(object !== undefined).finish(), object ?? Buffer.alloc(0)])
const keyOf = (proc: number, body: Buffer, prog: number = PROGRAM.remote): string => readTopic(registrationKind(prog, proc)!, body).key
const { connectDomainEventCallbackRegisterAny: MODERN, connectDomainEventRegister: OLDEST, connectDomainEventRegisterAny: OLDER } = REMOTE

describe('the forms of an event', () => {
  const olderProcedures = proceduresOf(PROGRAM.remote).filter(({ name, number, kind }) =>
    kind === 'event' && name.startsWith('DOMAIN_EVENT_') && number <= REMOTE.domainEventDeviceRemoved)

  it('are two for each event of domains that older clients know', () => {
    expect(olderProcedures).to.have.length(16)
    for (const { number, name } of olderProcedures) {
      const modern = lookup(PROGRAM.remote, proceduresOf(PROGRAM.remote).find(one =>
        one.name === name.replace('DOMAIN_EVENT_', 'DOMAIN_EVENT_CALLBACK_'))!.number)!
      // The events of power management have a reason behind the id.
      const more = name.includes('_PM') ? 8 : 4
      const body = pattern(60, number)
      const { older } = new EventFrame(event(modern.number, body), 0)
      expect(readHeader(older!)).to.include({ proc: number, prog: PROGRAM.remote, type: MESSAGE.event, serial: 1, status: 0 })
      expect(older!.subarray(28).equals(body.subarray(more)), name).to.equal(true)
      expect(older!.readUInt32BE(0)).to.equal(older!.length)
    }
  })

  it('are one where older clients know nothing like it, or there is not enough to make it of', () => {
    for (const proc of [REMOTE.domainEventCallbackTunable, REMOTE.networkEventLifecycle, REMOTE.domainEventLifecycle]) {
      expect(new EventFrame(event(proc, pattern(40)), 0).older).to.equal(undefined)
    }
    expect(new EventFrame(event(QEMU.domainMonitorEvent, pattern(40), PROGRAM.qemu), 0).older).to.equal(undefined)
    expect(new EventFrame(event(REMOTE.domainEventCallbackPmwakeup, pattern(4)), 0).older).to.equal(undefined)
  })

  it('leave the older one as it is when another id is put into the other', () => {
    const bytes = Buffer.concat([pattern(5), event(REMOTE.domainEventCallbackReboot, pattern(40)), pattern(5)])
    const one = new EventFrame(bytes, 5)
    const kept = one.kept()
    one.id = 77
    expect(one.bytes.readInt32BE(5 + 28)).to.equal(77)
    expect(kept.bytes.readInt32BE(28)).not.to.equal(77)
    expect(kept.older!.equals(one.older!)).to.equal(true)
    expect(one.length).to.equal(68)
  })
})

describe('what a registration is about', () => {
  it('is the same for the three ways of registering for an event of all domains', () => {
    const key = keyOf(MODERN, args(0))
    expect(keyOf(OLDEST, Buffer.alloc(0))).to.equal(key)
    expect(keyOf(OLDER, new XdrWriter().i32(0).finish())).to.equal(key)
    expect(keyOf(OLDER, new XdrWriter().i32(1).finish())).to.equal(keyOf(MODERN, args(1))).and.not.equal(key)
    const topic = readTopic(registrationKind(PROGRAM.remote, OLDER)!, new XdrWriter().i32(3).finish())
    expect([topic.kind.register, topic.args.equals(args(3))]).to.deep.equal([MODERN, true])
  })

  it('is told apart by UUID, whatever name and number come with it, and a device by its name', () => {
    expect(keyOf(MODERN, args(0, domain(1, 'x', -1)))).to.equal(keyOf(MODERN, args(0, domain(1, 'another', 7))))
    expect(keyOf(MODERN, args(0, domain(1)))).not.to.equal(keyOf(MODERN, args(0, domain(2))))
    expect(keyOf(MODERN, args(0, domain(1)))).not.to.equal(keyOf(MODERN, args(0)))
    const named = (uuid: number, name: string): Buffer => domain(uuid, name).subarray(0, -4)
    const { connectNetworkEventRegisterAny: network, connectStoragePoolEventRegisterAny: pool } = REMOTE
    expect(keyOf(network, args(0, named(1, 'a')))).to.equal(keyOf(network, args(0, named(1, 'b'))))
    expect(keyOf(network, args(0, named(1, 'a')))).not.to.equal(keyOf(pool, args(0, named(1, 'a'))))
    const device = (name: string): Buffer => new XdrWriter().string(name).finish()
    expect(keyOf(REMOTE.connectNodeDeviceEventRegisterAny, args(0, device('a')))).not.to.equal(
      keyOf(REMOTE.connectNodeDeviceEventRegisterAny, args(0, device('b'))))
    const secret = (usage: string): Buffer => new XdrWriter().fixed(Buffer.alloc(16, 1)).i32(2).string(usage).finish()
    expect(keyOf(REMOTE.connectSecretEventRegisterAny, args(0, secret('a')))).to.equal(
      keyOf(REMOTE.connectSecretEventRegisterAny, args(0, secret('b'))))
  })

  it('is filtered, for QEMU\'s monitor, with an event or flags', () => {
    const kind = registrationKind(PROGRAM.qemu, QEMU.connectDomainMonitorEventRegister)!
    const wanted = (name?: string, flags = 0): Buffer => {
      const xdr = new XdrWriter().bool(false).bool(name !== undefined)
      if (name !== undefined) xdr.string(name)
      return xdr.u32(flags).finish()
    }
    expect([wanted(), wanted('STOP'), wanted(undefined, 1)].map(body => readTopic(kind, body).filtered)).to.deep.equal([false, true, true])
  })

  it('is read of each kind, or refused if it cannot be', () => {
    for (const kind of REGISTRATIONS) {
      if (kind.register === REMOTE.connectRegisterCloseCallback) continue
      expect(registrationKind(kind.prog, kind.register)).to.equal(kind)
      expect(registrationKind(kind.prog, kind.deregister)).to.equal(kind)
      if (kind.form !== 'single') expect(() => readTopic(kind, Buffer.alloc(3)), String(kind.register)).to.throw(XdrError)
      expect(withIds(kind).form).to.equal('byId')
    }
    expect(registrationKind(PROGRAM.remote, REMOTE.domainGetInfo)).to.equal(undefined)
  })

  it('is refused in the older form beyond the events that older clients know', () => {
    const kind = registrationKind(PROGRAM.remote, OLDER)!
    const number = (n: number): Buffer => new XdrWriter().i32(n).finish()
    for (const n of [16, -1, 99]) {
      expect(() => readTopic(kind, number(n))).to.throw(RemoteError, `internal error: unsupported event ID ${n}`)
      expect(() => readOlderEvent(kind, number(n))).to.throw(RemoteError, `unsupported event ID ${n}`)
    }
    expect(readOlderEvent(kind, number(15))).to.equal(15)
    expect(readTopic(registrationKind(PROGRAM.remote, MODERN)!, args(99)).event, 'what the daemon is asked').to.equal(99)
  })

  it('is missed in libvirt\'s words', () => {
    const text = (proc: number, prog: number = PROGRAM.remote): string => notRegistered(registrationKind(prog, proc)!, 7).message
    expect(text(OLDEST)).to.equal('internal error: domain event 7 not registered')
    expect(text(MODERN)).to.equal('internal error: domain event callback 7 not registered')
    expect(text(REMOTE.connectNetworkEventRegisterAny)).to.equal('internal error: network event callback 7 not registered')
    expect(text(REMOTE.connectSecretEventRegisterAny)).to.equal('internal error: node device event callback 7 not registered')
  })
})
