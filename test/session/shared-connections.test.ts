import { expect } from 'chai'
import { decodeError, RemoteError, rpcError } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { frame } from '../support/frame-socket.js'
import { GuestCrowd } from '../support/guest-crowd.js'
import { settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { Random } from '../support/random.js'
import { eachTrial, type TimedTrial, wayTo } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const HIGH = REMOTE.connectGetLibVersion
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('shared driver connections', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

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

    it('by one who comes while another is given up that was being opened for those who have gone', async () => {
      const gone = await trial.open()
      for (let i = 0; i < 3; i++) gone.call(CALL)
      expect(trial.upstreams).to.have.length(2)
      gone.port.close()
      let answer: (() => void) | undefined
      trial.drivers.gate = new Promise(resolve => (answer = resolve))
      const next = trial.open()
      await settle()
      answer!()
      const guest = await next
      guest.call(CALL)
      expect([trial.upstreams[2]!.take().length, guest.heard]).to.deep.equal([1, []])
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

    it('out of sixty thousand of fifty identities, late, out of order, twice, with callers and connections that go', async () => {
      const crowd = new GuestCrowd(trial, new Random(23))
      const { answered, clients, deaths, lost, twice, toNobody } = await crowd.call(60_000)
      expect(answered).to.be.greaterThan(40_000)
      expect(Math.min(clients - 2000, deaths, lost, twice, toNobody), 'of each').to.be.greaterThan(0)
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

    it('also when one of those whose turn it is fails', async () => {
      trial.settings.driverPoolSize = 1
      const guests = await trial.guests(4)
      for (const guest of guests) guest.call(CALL)
      guests[2]!.driverEvents.driverJudged = () => {
        throw new Error('wanted')
      }
      const [upstream] = trial.upstreams
      for (const call of upstream!.take()) upstream!.reply(call)
      expect(upstream!.take()).to.have.length(1)
      expect(trial.failures.splice(0).map(String)).to.deep.equal(['Error: wanted'])
    })

    it('on no more connections than are kept, as long as nothing is stuck', async () => {
      const guests = await trial.guests(12)
      for (const guest of guests) guest.call(CALL)
      await settle()
      expect(trial.upstreams).to.have.length(2)
      expect(trial.upstreams.map(upstream => upstream.take().length)).to.deep.equal([2, 2])
    })

    it('on no more than these while calls come back, whenever the clock ticks, and on more when some do not', async () => {
      const guests = await trial.guests(12)
      for (const guest of guests) guest.call(CALL)
      await settle()
      for (let i = 0; i < 10; i++) {
        trial.time.advance(100)
        await settle()
        for (const upstream of trial.upstreams) for (const call of upstream.take()) upstream.reply(call)
        for (const guest of guests) if (guest.answers().length > 0) guest.call(CALL)
      }
      expect(trial.upstreams).to.have.length(2)
      for (let i = 0; i < 2; i++) {
        trial.time.advance(100)
        await settle()
      }
      expect(trial.upstreams).to.have.length.above(2)
    })

    it('on no more than 32, however many are to be kept, of which nothing is told as long as not all are stuck', async () => {
      trial.settings.driverPoolSize = 100
      const guests = await trial.guests(300)
      for (const guest of guests) guest.call(CALL)
      await settle()
      expect(trial.upstreams).to.have.length(32)
      const [stuck, ...others] = trial.upstreams
      for (let i = 0; i < 4; i++) {
        trial.time.advance(100)
        for (const upstream of others) for (const call of upstream.take()) upstream.reply(call)
      }
      expect([stuck!.take().length, guests.filter(({ waiting }) => waiting.length > 0).length, trial.log]).to.deep.equal([2, 0, []])
    })

    it('on no more than these, and one, with calls that wait for no hypervisor', async () => {
      trial.settings.driverPoolSize = 100
      for (const guest of await trial.guests(300)) guest.call(HIGH)
      await settle()
      expect(trial.upstreams).to.have.length(33)
    })

    it('on as many when all their calls wait for no hypervisor, and one more', async () => {
      const guests = await trial.guests(12)
      for (const guest of guests) guest.call(HIGH)
      await settle()
      expect(trial.upstreams.map(upstream => upstream.take().length)).to.deep.equal([2, 2, 2])
    })

    it('past calls that are stuck for ever, up to 32 connections, which the log tells', async () => {
      const stuck = await trial.guests(40)
      for (const guest of stuck) guest.call(CALL)
      const sent = (): number => trial.upstreams.reduce((sum, { transport }) => sum + transport.frames.length, 0)
      await trial.time.until('all to be out', () => sent() === 40)
      const neighbour = await trial.open()
      neighbour.call(CALL, latin('neighbour'))
      await trial.time.until('the neighbour to be out', () => sent() === 41)
      for (const guest of await trial.guests(60)) guest.call(CALL)
      const told = /calls of \d+ clients wait, the first for \d\.\d s: .* all 32 driver/
      await trial.time.until('the log', () => trial.log.some(line => told.test(line)))
      expect(trial.upstreams).to.have.length(32)
    })

    it('without waiting behind them with a call that waits for no hypervisor', async () => {
      trial.settings.driverPoolSize = 1
      const guest = await trial.open()
      for (let i = 0; i < 3; i++) guest.call(CALL)
      const other = await trial.open()
      other.call(HIGH)
      await settle()
      expect(trial.upstreams[1]!.procedures()).to.deep.equal([HIGH])
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

  it('know nothing of close callbacks, which are answered as virtproxyd does it', async () => {
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
    const invalid = '55 Requested operation is not valid:'
    expect(answers).to.deep.equal([
      `${invalid} A different callback was requested`, 'ok', `${invalid} A close callback is already registered`, 'ok'
    ])
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
