import { expect } from 'chai'
import { decodeError, errorReply, RemoteError, rpcError } from '#protocol/errors.js'
import { DISPOSITION } from '#protocol/frame-reader.js'
import { HEADER_BYTES, MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { Clock } from '#workers/base/clock.js'
import { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { Random } from '../support/random.js'
import { SharedTrial, wayTo, type MemoryGuest } from '../support/shared-trial.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetInfo
const CONSOLE = REMOTE.domainOpenConsole
const HIGH = REMOTE.connectGetLibVersion
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('shared driver connections', () => {
  const cleanup = new Cleanup()
  const clock = new Clock(() => undefined)
  cleanup.defer(() => Promise.resolve(clock.stop()))
  after(() => cleanup.run())
  let trial: SharedTrial
  beforeEach(() => (trial = new SharedTrial(clock)))
  afterEach(() => {
    trial.pool.stop()
    expect(trial.failures).to.deep.equal([])
  })

  describe('are shared', () => {
    it('by sessions of one identity, name and read-only flag, and by nobody else', async () => {
      await Promise.all([trial.open({ saslUserName: 'a' }), trial.open({ saslUserName: 'a' })])
      await trial.open({ saslUserName: 'a' })
      expect(trial.upstreams).to.have.length(1)
      await trial.open({ saslUserName: 'b' })
      await trial.open({ saslUserName: 'a' }, wayTo('lxc:///system'))
      await trial.open({ saslUserName: 'a' }, wayTo(), true)
      await trial.open({ saslUserName: 'a' }, wayTo(undefined, '/elsewhere'))
      expect(trial.upstreams).to.have.length(5)
      expect(trial.upstreams[1]!.order.identity).to.deep.equal({ saslUserName: 'b' })
    })

    it('by processes of one user only if told so, and then the daemon is not told of any process', async () => {
      const process = (processId: number) => ({ userId: 7, processId, processTime: 5 })
      await trial.open(process(1))
      await trial.open(process(2))
      expect(trial.upstreams).to.have.length(2)
      trial.settings.driverSharing = 'user'
      await trial.open(process(3))
      await trial.open(process(4))
      expect(trial.upstreams).to.have.length(3)
      expect(trial.upstreams[2]!.order.identity).to.deep.equal({ userId: 7 })
    })

    it('by nobody where the state of a name lives in its connection, or where that is off', async () => {
      for (const name of ['test:///file.xml', 'qemu:///embed?root=/x', 'esx:///system', 'qemu:///system?x=1']) {
        const before = trial.upstreams.length
        await trial.open({}, wayTo(name))
        await trial.open({}, wayTo(name))
        expect(trial.upstreams, name).to.have.length(before + 2)
      }
      trial.settings.driverSharing = 'off'
      const before = trial.upstreams.length
      await trial.open()
      await trial.open()
      expect(trial.upstreams).to.have.length(before + 2)
    })

    it('once they are there: an open that fails tells all who wait, and the next one tries again', async () => {
      trial.drivers.refusal = rpcError('no')
      const opens = await Promise.allSettled([trial.open(), trial.open()])
      expect(opens.map(open => open.status === 'rejected' && (open.reason as Error).message)).to.deep.equal(['no', 'no'])
      expect(trial.pool.size).to.equal(0)
      trial.drivers.refusal = undefined
      await trial.open()
      expect(trial.upstreams).to.have.length(1)
    })
  })

  describe('bring each reply to its caller', () => {
    it('under the serial that the caller gave, in whatever order they come', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      const serials = [a.call(CALL, latin('a')), b.call(CALL, latin('b'))]
      expect(serials).to.deep.equal([1, 1])
      const calls = trial.upstreams[0]!.take()
      expect(new Set(calls.map(({ serial }) => serial)).size).to.equal(2)
      for (const call of calls.reverse()) trial.upstreams[0]!.reply(call, call.payload)
      expect(a.answers()).to.deep.equal([{ proc: CALL, serial: 1, status: STATUS.ok, payload: 'a' }])
      expect(b.answers()).to.deep.equal([{ proc: CALL, serial: 1, status: STATUS.ok, payload: 'b' }])
    })

    for (const pieces of [Infinity, 1, 20, 28, 29, 5000]) {
      it(`in pieces of ${pieces} bytes, several in one, and one of 2 MiB`, async () => {
        const guests = [await trial.open(), await trial.open()]
        const payloads = [pattern(pieces === 1 ? 300 : 2 ** 21, 1), pattern(50, 2)]
        guests.forEach((guest, i) => guest.call(CALL, Buffer.from([i])))
        const replies = trial.upstreams[0]!.take().map(({ proc, serial, payload }) =>
          frame({ proc, serial, type: MESSAGE.reply }, payloads[payload[0]!])
        )
        trial.upstreams[0]!.transport.receive(Buffer.concat(replies), pieces)
        guests.forEach((guest, i) => {
          const got = guest.taken()
          expect(got.equals(frame({ proc: CALL, serial: 1, type: MESSAGE.reply }, payloads[i]))).to.equal(true)
        })
      })
    }

    it('out of a hundred thousand, from a daemon that answers late and out of order, with callers that leave', async () => {
      const random = new Random(23)
      const guests: { guest: MemoryGuest; id: number; asked: Map<number, string> }[] = []
      let ids = 0
      const join = async (): Promise<void> => {
        guests.push({ guest: await trial.open(), id: ids++, asked: new Map() })
      }
      for (let i = 0; i < 8; i++) await join()
      const out: (() => void)[] = []
      let answered = 0
      for (let step = 0; step < 100_000; step++) {
        // One turn takes so many frames and no more.
        if (step % 16 === 0) await settle()
        const one = random.pick(guests)
        if (one.guest.waiting.length < 4) {
          const text = `${one.id}.${step}`
          one.asked.set(one.guest.call(CALL, latin(text)), text)
        }
        for (const upstream of trial.upstreams) {
          for (const call of upstream.take()) out.push(() => upstream.reply(call, call.payload))
        }
        if (random.chance(0.67) && out.length > 0) out.splice(random.integer(0, out.length - 1), 1)[0]!()
        for (const { guest, asked } of guests) {
          for (const { serial, payload } of guest.answers()) {
            expect(payload).to.equal(asked.get(serial))
            asked.delete(serial)
            answered++
          }
        }
        if (!random.chance(0.002)) continue
        const [gone] = guests.splice(random.integer(0, guests.length - 1), 1)
        gone!.guest.port.close()
        await join()
      }
      expect(answered).to.be.greaterThan(20_000)
    })

    it('or to nobody, if the caller has gone, and the place is free only then', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(CALL)
      a.call(CALL)
      const [upstream] = trial.upstreams
      const calls = upstream!.take()
      a.port.close()
      b.call(CALL)
      expect([upstream!.take().length, b.waiting.length]).to.deep.equal([0, 1])
      upstream!.reply(calls[0]!)
      expect(upstream!.take()).to.have.length(1)
      expect(a.taken().length).to.equal(0)
    })

    it('and are given up at a reply to no call, or a second reply to one', async () => {
      const a = await trial.open()
      a.call(CALL)
      const [upstream] = trial.upstreams
      const [call] = upstream!.take()
      upstream!.reply(call!)
      upstream!.reply(call!)
      expect(upstream!.closed).to.equal(true)
      expect(a.heard.join()).to.match(/reply to no call/)
    })
  })

  describe('take turns', () => {
    it('of one call each, when many wait', async () => {
      trial.settings.driverPoolSize = 1
      const [greedy, modest] = [await trial.open(), await trial.open()]
      for (let i = 0; i < 10; i++) greedy.call(CALL, latin(`greedy ${i}`))
      modest.call(CALL, latin('modest'))
      const order: string[] = []
      const [upstream] = trial.upstreams
      for (let calls = upstream!.take(); calls.length > 0; calls = upstream!.take()) {
        for (const call of calls) {
          order.push(call.payload.toString())
          upstream!.reply(call)
        }
      }
      expect(order).to.have.length(11)
      expect(order.indexOf('modest')).to.be.at.most(3)
      expect(order.filter(text => text !== 'modest')).to.deep.equal(Array.from({ length: 10 }, (_, i) => `greedy ${i}`))
    })

    it('on no more connections than are kept, as long as nothing is stuck', async () => {
      const guests = await Promise.all(Array.from({ length: 12 }, () => trial.open()))
      for (const guest of guests) guest.call(CALL)
      await settle()
      expect(trial.upstreams).to.have.length(2)
      expect(trial.upstreams.map(upstream => upstream.take().length)).to.deep.equal([2, 2])
    })

    it('past calls that are stuck for ever, up to 32 connections, which the log tells', async () => {
      const stuck = await Promise.all(Array.from({ length: 40 }, () => trial.open()))
      for (const guest of stuck) guest.call(CALL)
      const sent = (): number => trial.upstreams.reduce((sum, { transport }) => sum + transport.frames.length, 0)
      await waitFor('all to be out', () => sent() === 40)
      const neighbour = await trial.open()
      neighbour.call(CALL, latin('neighbour'))
      await waitFor('the neighbour to be out', () => sent() === 41)
      for (const guest of await Promise.all(Array.from({ length: 60 }, () => trial.open()))) guest.call(CALL)
      const told = /calls of \d+ clients wait, the first for 0\.\d s: .* all 32 driver/
      await waitFor('the log', () => trial.log.some(line => told.test(line)))
      expect(trial.upstreams).to.have.length(32)
    })

    it('without waiting behind them with a call that waits for no hypervisor', async () => {
      trial.settings.driverPoolSize = 1
      const guest = await trial.open()
      for (let i = 0; i < 3; i++) guest.call(CALL)
      const other = await trial.open()
      other.call(HIGH)
      await settle()
      expect(trial.upstreams[1]!.take().map(({ proc }) => proc)).to.deep.equal([HIGH])
    })

    it('and a client that does not take its replies keeps nobody from theirs, and gets no further calls out', async () => {
      const [slow, quick] = [await trial.open(), await trial.open()]
      slow.call(CALL)
      slow.port.pause()
      slow.call(CALL)
      quick.call(CALL)
      const [upstream] = trial.upstreams
      const calls = upstream!.take()
      expect(calls).to.have.length(2)
      for (const call of calls) upstream!.reply(call, latin('x'))
      expect([upstream!.transport.paused, quick.answers().length]).to.deep.equal([false, 1])
      slow.port.resume()
      expect(upstream!.take()).to.have.length(1)
    })
  })

  describe('end', () => {
    it('for those with calls there, and for all when the one is lost that stands for the daemon', async () => {
      trial.settings.driverPoolSize = 2
      const guests = await Promise.all(Array.from({ length: 4 }, () => trial.open()))
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

    it('when they have been idle for long, but for one as long as a session has the name open', async () => {
      trial.settings.driverIdleTimeoutMs = 100
      const guests = [await trial.open({ saslUserName: 'a' }), await trial.open({ saslUserName: 'b' })]
      const [first, second] = trial.upstreams
      await waitFor('the goodbye', () => second!.take().some(({ proc }) => proc === REMOTE.connectClose))
      expect(first!.take()).to.deep.equal([])
      guests[1]!.call(CALL)
      await settle()
      expect(trial.upstreams[2]!.order.identity).to.deep.equal({ saslUserName: 'b' })
      for (const guest of guests) guest.port.leave()
      await waitFor('the other goodbye', () => first!.take().some(({ proc }) => proc === REMOTE.connectClose))
    })

    it('when there are too many that are idle, the one that is so longest first', async () => {
      trial.settings.driverMaxIdle = 2
      for (const saslUserName of ['a', 'b', 'c']) await trial.open({ saslUserName })
      const leaving = trial.upstreams.map(upstream => upstream.take().some(({ proc }) => proc === REMOTE.connectClose))
      expect(leaving).to.deep.equal([false, true, false])
    })

    it('when the daemon has lost another one that it needs, as soon as nobody has a call there', async () => {
      const [a, b] = [await trial.open(), await trial.open()]
      a.call(REMOTE.secretLookupByUuid)
      b.call(CALL)
      const [upstream] = trial.upstreams
      const [secret, other] = upstream!.take()
      upstream!.transport.receive(errorReply(readHeader(secret!.bytes), rpcError('client socket is closed')))
      expect(upstream!.take()).to.deep.equal([])
      upstream!.reply(other!)
      expect(upstream!.take(), 'before there is another').to.deep.equal([])
      a.call(CALL)
      await settle()
      expect(trial.upstreams[1]!.take()).to.have.length(1)
      expect(upstream!.take().map(({ proc }) => proc)).to.deep.equal([REMOTE.connectClose])
    })

    it('so that those who wait for them get others', async () => {
      const guests = await Promise.all(Array.from({ length: 5 }, () => trial.open()))
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
      expect(upstream!.take().map(({ proc }) => proc)).to.deep.equal([HIGH])
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
      expect(own!.take().map(({ proc }) => proc)).to.deep.equal([REMOTE.connectClose])
      a.call(CALL)
      expect(shared!.take()).to.have.length(2)
    })

    it('for good by a session that migrates, or starts a guest that dies with it', async () => {
      const autodestroy = Buffer.from([0, 0, 0, 2])
      for (const [proc, payload] of [[REMOTE.domainMigratePerform3Params], [REMOTE.domainCreateXml, autodestroy]] as const) {
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
      const guests = await Promise.all(Array.from({ length: 600 }, () => trial.open()))
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

  it('know nothing of close callbacks, which are answered as a daemon does it', async () => {
    const guest = await trial.open()
    const { connectRegisterCloseCallback: register, connectUnregisterCloseCallback: unregister } = REMOTE
    for (const proc of [unregister, register, register, unregister]) guest.call(proc)
    await settle()
    const answers = guest.answers().map(({ status, payload }) => {
      if (status === STATUS.ok) return 'ok'
      const error = decodeError(latin(payload))
      expect(error).to.be.instanceOf(RemoteError)
      return `${error.code} ${error.message}`
    })
    expect(answers).to.deep.equal(['ok', 'ok', '55 Requested operation is not valid: A close callback is already registered', 'ok'])
    expect(trial.upstreams[0]!.take()).to.deep.equal([])
  })

  it('keep the bytes of a call as they are, but for its serial', async () => {
    const guest = await trial.open()
    guest.call(CALL, pattern(40))
    const [call] = trial.upstreams[0]!.take()
    expect(call!.bytes.subarray(HEADER_BYTES).equals(pattern(40))).to.equal(true)
    expect(call).to.include({ proc: CALL, type: MESSAGE.call, status: STATUS.ok })
  })
})
