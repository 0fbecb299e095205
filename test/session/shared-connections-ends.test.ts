import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { decodeError, errorReply, rpcError } from '#protocol/errors.js'
import { DISPOSITION } from '#protocol/frame-reader.js'
import { MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { frame } from '../support/frame-socket.js'
import { settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { eachTrial, wayTo, type TimedTrial } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const CONSOLE = REMOTE.domainOpenConsole
const HIGH = REMOTE.connectGetLibVersion
/** A guest without a description, to be ended with its client. */
const AUTODESTROY = Buffer.from([0, 0, 0, 0, 0, 0, 0, 2])
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('shared driver connections in the end', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  describe('end', () => {
    it('for those with calls there, and for all when the one is lost that stands for the daemon', async () => {
      trial.settings.driverPoolSize = 2
      const guests = await trial.guests(4)
      const idle = await trial.open({ saslUserName: 'other' })
      for (const guest of guests) guest.call(CALL)
      await settle()
      const [first, , second] = trial.upstreams
      const there = guests.filter(({ heard }) => heard.length === 0)
      second!.transport.lose(104)
      const hit = there.filter(({ heard }) => heard.length > 0)
      expect(hit).to.have.length(2)
      expect(hit[0]!.heard).to.deep.equal(['lost: Cannot recv data: Connection reset by peer, 1, false'])
      first!.transport.lose(0)
      expect([...guests, idle].map(({ heard }) => heard.length)).to.deep.equal([1, 1, 1, 1, 1])
    })

    it('for a client with a part of a reply with the word that it is cut', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(CALL)
      b.call(CALL)
      const [call] = trial.upstreams[0]!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      trial.upstreams[0]!.transport.receive(long.subarray(0, 2 ** 20))
      trial.upstreams[0]!.transport.lose(0)
      expect([a, b].map(({ heard }) => /true$/.test(heard[0]!))).to.deep.equal([true, false])
    })

    it('also when something unexpected has ended it', async () => {
      const [other, reader] = [await trial.open({ saslUserName: 'other' }), await trial.open()]
      reader.call(CALL)
      const [, shared] = trial.upstreams
      const [call] = shared!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      shared!.transport.receive(long.subarray(0, 2 ** 20))
      shared!.order.user.session.close('wanted', 'internal-failure')
      expect([reader.heard, other.heard]).to.deep.equal([['lost: wanted, 0, true'], []])
    })

    it('also when it is another that is lost, and the one that has the rest is given up with it', async () => {
      const guests = await trial.guests(4)
      for (const guest of guests) guest.call(CALL)
      await settle()
      const [kept, second] = trial.upstreams
      const [call] = second!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      second!.transport.receive(long.subarray(0, 2 ** 20))
      kept!.transport.lose(0)
      expect(guests.map(({ heard }) => /true$/.test(heard[0]!)).filter(cut => cut)).to.have.length(1)
    })

    it('not while somebody has a part of a reply, though nobody waits for anything else', async () => {
      const [reader, gone, other] = [await trial.open(), await trial.open(), await trial.open({ saslUserName: 'other' })]
      reader.call(CALL)
      gone.call(CALL)
      const [shared] = trial.upstreams
      const [call] = shared!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      shared!.transport.receive(long.subarray(0, 2 ** 20))
      gone.port.close()
      expect(shared!.closed, 'within the reply').to.equal(false)
      shared!.transport.receive(long.subarray(2 ** 20))
      expect([reader.taken().length, shared!.closed, other.heard]).to.deep.equal([long.length, true, []])
    })

    it('for the calls that one held back who had his answer just before, which go elsewhere', async () => {
      const [other, guest] = [await trial.open({ saslUserName: 'other' }), await trial.open()]
      guest.most = 1
      guest.call(CALL)
      guest.call(CALL)
      const [, shared] = trial.upstreams
      const [call] = shared!.take()
      const reply = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply })
      shared!.transport.receive(Buffer.concat([reply, reply]))
      expect(shared!.closed, 'a second reply').to.equal(true)
      await settle()
      expect([guest.heard, other.heard, trial.upstreams[2]?.procedures()]).to.deep.equal([[], [], [CALL]])
    })

    it('not before one is told that he has his answer whose neighbour goes just then', async () => {
      const [guest, gone] = [await trial.open(), await trial.open(), await trial.open({ saslUserName: 'other' })]
      guest.most = 1
      for (const one of [gone, guest, guest]) one.call(CALL)
      const [shared] = trial.upstreams
      const [, call] = shared!.take()
      guest.replies.relay = () => gone.port.close()
      shared!.reply(call!)
      expect(guest.waiting).to.deep.equal([])
    })

    it('for all, though one of those who hear of it fails', async () => {
      const [first, second] = await trial.guests(2)
      first!.driverEvents.driverLost = () => {
        throw new Error('wanted')
      }
      trial.upstreams[0]!.transport.lose(0)
      expect([second!.heard.length, trial.failures.splice(0).map(String)]).to.deep.equal([1, ['Error: wanted']])
    })

    it('nor because it is one too many', async () => {
      const [other, reader] = [await trial.open({ saslUserName: 'other' }), await trial.open()]
      const [kept, shared] = trial.upstreams
      reader.call(CALL)
      const [call] = shared!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      shared!.transport.receive(long.subarray(0, 2 ** 20))
      trial.settings.driverMaxIdle = 0
      const callOfOther = (): void => {
        other.call(CALL)
        kept!.reply(kept!.take()[0]!)
      }
      callOfOther()
      expect(shared!.take(), 'within the reply').to.deep.equal([])
      shared!.transport.receive(long.subarray(2 ** 20))
      callOfOther()
      expect([reader.taken().length, shared!.procedures()]).to.deep.equal([long.length, [REMOTE.connectClose]])
    })

    it('when they have been idle for long, but for one as long as a session has the name open', async () => {
      trial.settings.driverIdleTimeoutMs = 100
      const guests = [await trial.open({ saslUserName: 'a' }), await trial.open({ saslUserName: 'b' })]
      const [first, second] = trial.upstreams
      await trial.time.until('the goodbye', () => second!.take().some(({ proc }) => proc === REMOTE.connectClose))
      expect(first!.take()).to.deep.equal([])
      guests[1]!.call(CALL)
      await settle()
      expect(trial.upstreams[2]!.order.identity).to.deep.equal({ saslUserName: 'b' })
      for (const guest of guests) guest.port.leave()
      await trial.time.until('the other goodbye', () => first!.take().some(({ proc }) => proc === REMOTE.connectClose))
    })

    it('when a process that shares them with nobody has left, a second later', async () => {
      const other = await trial.open({ saslUserName: 'other' })
      const identity = { processId: 7 }
      const [first, second] = [await trial.open(identity), await trial.open(identity)]
      const upstream = trial.upstreams[1]!
      first.port.leave()
      trial.time.advance(1000)
      expect(upstream.procedures(), 'while it has another client').to.deep.equal([])
      second.call(CALL)
      upstream.reply(upstream.take()[0]!)
      second.port.leave()
      trial.time.advance(900)
      const next = await trial.open(identity)
      trial.time.advance(1000)
      expect(upstream.procedures(), 'when it has come back').to.deep.equal([])
      for (const guest of [next, other]) guest.port.leave()
      trial.time.advance(100)
      expect(trial.upstreams.map(one => one.procedures())).to.deep.equal([[], [REMOTE.connectClose]])
    })

    it('but for one, also of those who come while one is given up that was being opened for who has gone', async () => {
      trial.settings.driverIdleTimeoutMs = 100
      const gone = await trial.open()
      for (let i = 0; i < 3; i++) gone.call(CALL)
      gone.port.close()
      await Promise.all([trial.open(), trial.open({ saslUserName: 'other' })])
      const [, , first, second] = trial.upstreams
      await trial.time.until('a goodbye', () => [first!, second!].some(upstream => upstream.procedures().includes(REMOTE.connectClose)))
      expect([first!.procedures(), second!.procedures()]).to.deep.equal([[], []])
    })

    it('when there are too many that are idle, the one that is so longest first', async () => {
      trial.settings.driverMaxIdle = 2
      for (const saslUserName of ['a', 'b', 'c']) await trial.open({ saslUserName })
      const leaving = trial.upstreams.map(upstream => upstream.take().some(({ proc }) => proc === REMOTE.connectClose))
      expect(leaving).to.deep.equal([false, true, false])
    })

    it('in the time, and as many, that the settings say once they have changed', async () => {
      for (const saslUserName of ['a', 'b', 'c', 'd']) await trial.open({ saslUserName })
      const leaving = (): boolean[] =>
        trial.upstreams.map(upstream => upstream.take().some(({ proc }) => proc === REMOTE.connectClose))
      trial.time.advance(1000)
      trial.settings.driverMaxIdle = 3
      trial.pool.reconsider()
      expect(leaving()).to.deep.equal([false, true, false, false])
      trial.settings.driverIdleTimeoutMs = 2000
      trial.pool.reconsider()
      expect(leaving()).to.deep.equal([false, false, false, false])
      trial.time.advance(1000)
      expect(leaving()).to.deep.equal([false, false, true, true])
    })

    it('whatever names they have open at that socket, but for the last of each', async () => {
      trial.settings.driverMaxIdle = 2
      const network = wayTo('network:///system')
      await trial.open({ saslUserName: 'a' })
      await trial.open({ saslUserName: 'a' }, network)
      await trial.open({ saslUserName: 'b' }, network)
      await trial.open({ saslUserName: 'b' }, wayTo('network:///system', '/memory/virtnetworkd-sock'))
      const leaving = trial.upstreams.map(upstream => upstream.take().some(({ proc }) => proc === REMOTE.connectClose))
      expect(leaving).to.deep.equal([false, false, true, false])
    })

    it('when the daemon has lost another one that it needs, as soon as nobody has a call there', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(REMOTE.secretLookupByUuid)
      b.call(CALL)
      const [upstream] = trial.upstreams
      const [secret, other] = upstream!.take()
      upstream!.transport.receive(errorReply(readHeader(secret!.bytes), driverClosed()))
      expect(upstream!.take()).to.deep.equal([])
      upstream!.reply(other!)
      expect(upstream!.take(), 'before there is another').to.deep.equal([])
      a.call(CALL)
      await settle()
      expect(trial.upstreams[1]!.take()).to.have.length(1)
      expect(upstream!.procedures()).to.deep.equal([REMOTE.connectClose])
    })

    it('so that those who wait for them get others', async () => {
      const guests = await trial.guests(5)
      for (const guest of guests) guest.call(CALL)
      await settle()
      trial.upstreams[1]!.transport.lose(0)
      await settle()
      const left = guests.filter(({ heard }) => heard.length === 0)
      expect([left.length, left.flatMap(({ waiting }) => waiting).length]).to.deep.equal([3, 0])
      expect(trial.upstreams[2]!.take()).to.have.length(1)
    })

    it('not for those who have others, when no further one can be opened', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      trial.drivers.refusal = rpcError('too many')
      a.call(CALL)
      a.call(CALL)
      b.call(HIGH)
      await settle()
      expect([a.heard, b.heard, b.waiting.length]).to.deep.equal([[], [], 1])
      expect(trial.log).to.deep.equal(['driver-refused: no further driver connection: too many'])
      const [upstream] = trial.upstreams
      for (const call of upstream!.take()) upstream!.reply(call)
      expect(upstream!.procedures()).to.deep.equal([HIGH])
    })

    it('neither for those who wait nor for anybody else, when none can be opened though that daemon lives', async () => {
      trial.settings.driverIdleTimeoutMs = 100
      await trial.open({ saslUserName: 'other' })
      const [bound, caller, idle] = [await trial.open(), await trial.open(), await trial.open()]
      const [kept, shared] = trial.upstreams
      bound.call(REMOTE.domainCreateXml, AUTODESTROY)
      await settle()
      const own = trial.upstreams[2]!
      own.reply(own.take()[0]!)
      await trial.time.until('the goodbye', () => shared!.procedures().includes(REMOTE.connectClose))
      trial.drivers.refusal = rpcError('no more')
      for (const text of ['first', 'second']) caller.call(CALL, latin(text))
      await settle()
      await settle()
      const [answer, ...others] = caller.answers()
      expect([answer!.serial, answer!.status, others.length]).to.deep.equal([1, STATUS.error, 0])
      expect(decodeError(latin(answer!.payload)).message).to.equal('no more')
      trial.drivers.refusal = undefined
      const again = await trial.time.until('the next try', () => trial.upstreams[3])
      await settle()
      expect(again.take().map(({ payload }) => payload.toString())).to.deep.equal(['second'])
      expect([bound, caller, idle].map(({ heard }) => heard)).to.deep.equal([[], [], []])
      expect([kept!.closed, own.closed]).to.deep.equal([false, false])
    })

    it('but for calls that only what is there for high priority is left for', async () => {
      trial.settings.driverPoolSize = 1
      const guest = await trial.open()
      const [ordinary] = trial.upstreams
      for (const proc of [REMOTE.secretLookupByUuid, CALL, HIGH]) guest.call(proc)
      await settle()
      const priority = trial.upstreams[1]!
      expect(priority.procedures()).to.deep.equal([HIGH])
      trial.drivers.refusal = rpcError('no more')
      const [secret, call] = ordinary!.take()
      ordinary!.reply(call!)
      ordinary!.transport.receive(errorReply(readHeader(secret!.bytes), driverClosed()))
      expect(ordinary!.procedures()).to.deep.equal([REMOTE.connectClose])
      guest.answers()
      const serial = guest.call(CALL)
      await settle()
      await settle()
      expect(guest.answers().map(answer => [answer.serial, answer.status])).to.deep.equal([[serial, STATUS.error]])
      expect([guest.heard, priority.closed]).to.deep.equal([[], false])
    })

    it('never with what a daemon needs of another one opened more than once', async () => {
      trial.settings.driverPoolSize = 1
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(REMOTE.storagePoolRefresh)
      b.call(REMOTE.storagePoolRefresh)
      const [upstream] = trial.upstreams
      const [first, ...more] = upstream!.take()
      expect([first!.proc, more.length]).to.deep.equal([REMOTE.storagePoolRefresh, 0])
      upstream!.reply(first!)
      a.call(REMOTE.storagePoolRefresh)
      expect(upstream!.take()).to.have.length(2)
    })
  })

  describe('are left', () => {
    it('for one of its own by a session that opens a stream, and come back to when that is over', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(CALL)
      a.call(CONSOLE)
      a.call(CALL, latin('behind it'))
      await settle()
      const [shared, own] = trial.upstreams
      const [before] = shared!.take()
      shared!.reply(before!)
      const calls = own!.take()
      expect(calls.map(({ proc, serial }) => [proc, serial])).to.deep.equal([[CONSOLE, 2], [CALL, 3]])
      a.bound = true
      for (const call of calls) own!.reply(call)
      expect(own!.take()).to.deep.equal([])
      a.bound = false
      b.call(CALL)
      a.call(CALL)
      const [last] = own!.take()
      own!.reply(last!)
      expect(own!.procedures()).to.deep.equal([REMOTE.connectClose])
      a.call(CALL)
      expect(shared!.take()).to.have.length(2)
    })

    it('also while the one that is left has not taken all, and then the client is read again', async () => {
      const guest = await trial.open()
      const serial = guest.call(CONSOLE)
      await settle()
      const own = trial.upstreams[1]!
      guest.bound = true
      own.reply(own.take()[0]!)
      const packet = frame({ proc: CONSOLE, serial, type: MESSAGE.stream, status: STATUS.continue }, pattern(40))
      own.transport.slow = true
      expect([guest.port.writer.relay(packet, 0, packet.length), guest.drained]).to.deep.equal([false, 0])
      guest.bound = false
      own.transport.receive(frame({ proc: CONSOLE, serial, type: MESSAGE.stream, status: STATUS.error }))
      expect([own.procedures(), guest.drained]).to.deep.equal([[CONSOLE, REMOTE.connectClose], 1])
      guest.call(CALL)
      expect(trial.upstreams[0]!.procedures()).to.deep.equal([CALL])
    })

    it('for good by a session that migrates, or starts a guest that dies with it', async () => {
      for (const [proc, payload] of [[REMOTE.domainMigratePerform3Params], [REMOTE.domainCreateXml, AUTODESTROY]] as const) {
        const guest = await trial.open({ saslUserName: `of ${proc}` })
        guest.call(proc, payload)
        await settle()
        const own = trial.upstreams.at(-1)!
        own.reply(own.take()[0]!)
        guest.call(CALL)
        expect(own.take().map(call => call.proc)).to.deep.equal([CALL])
      }
    })

    it('by a session whose call is too long to be kept', async () => {
      const guest = await trial.open()
      guest.call(CALL, pattern(70_000))
      await settle()
      expect(trial.upstreams.map(upstream => upstream.take().length)).to.deep.equal([0, 1])
    })

    it('by a session whose call comes in pieces while too much of that is kept already', async () => {
      const half = frame({ proc: CALL, serial: 7 }, pattern(60_000)).subarray(0, 100)
      const guests = await trial.guests(600)
      const found = guests.map(({ port }) => port.begin(Buffer.from(half), 0, false))
      const most = Math.floor(2 ** 25 / 60_028)
      expect([found[0], found[most - 1], found[most], found[599]]).to.deep.equal([
        DISPOSITION.collect, DISPOSITION.collect, DISPOSITION.hold, DISPOSITION.hold
      ])
      guests[0]!.port.close()
      const last = await trial.open()
      expect([1, 2].map(() => last.port.begin(Buffer.from(half), 0, false)), 'room for one').to.deep.equal([
        DISPOSITION.collect, DISPOSITION.collect
      ])
    })

    it('by no frame that its daemon sends before it is used, or when it is used no more, in the middle of another', async () => {
      const guest = await trial.open()
      const [shared] = trial.upstreams
      guest.call(CALL)
      const [call] = shared!.take()
      const long = frame({ proc: CALL, serial: call!.serial, type: MESSAGE.reply }, pattern(2 ** 21))
      shared!.transport.receive(long.subarray(0, 2 ** 20))
      guest.call(CONSOLE)
      await settle()
      const own = trial.upstreams[1]!
      const event = frame({ proc: REMOTE.domainEventLifecycle, type: MESSAGE.event }, pattern(40))
      own.transport.receive(event)
      shared!.transport.receive(long.subarray(2 ** 20))
      expect(guest.taken().length, 'nothing but the reply').to.equal(long.length)
      const [console] = own.take()
      own.transport.receive(event)
      expect(guest.taken().length).to.equal(event.length)
      own.reply(console!)
      expect(own.procedures()).to.deep.equal([REMOTE.connectClose])
      guest.taken()
      own.transport.receive(event)
      expect(guest.taken().length).to.equal(0)
    })

    it('not if there is no other: that call fails, and the session goes on', async () => {
      const guest = await trial.open()
      trial.drivers.refusal = rpcError('no more')
      guest.call(CONSOLE)
      await settle()
      await settle()
      const [answer] = guest.answers()
      expect(answer).to.include({ proc: CONSOLE, serial: 1, status: STATUS.error })
      expect(decodeError(latin(answer!.payload)).message).to.equal('no more')
      guest.call(CALL)
      expect(trial.upstreams[0]!.take()).to.have.length(1)
    })

    it('by a session that is lost with its own connection, and with nobody else', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(CONSOLE)
      await settle()
      trial.upstreams[1]!.transport.lose(0)
      expect([a.heard.length, b.heard.length]).to.deep.equal([1, 0])
    })

    it('by what makes a guest the owner of a connection, never by another kind of frame', async () => {
      const guest = await trial.open()
      guest.call(CALL, Buffer.alloc(4), { type: MESSAGE.callWithFds })
      guest.call(QEMU.domainMonitorCommand, undefined, { prog: 0x20009999 })
      await settle()
      expect(trial.upstreams[0]!.take()).to.deep.equal([])
    })
  })
})
