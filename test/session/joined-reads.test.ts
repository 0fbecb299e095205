import { expect } from 'chai'
import { errorReply, rpcError } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { FAMILIES } from '#workers/thread/metric-families.js'
import { frame, type Frame } from '../support/frame-socket.js'
import { settle as turn } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { eachTrial, type MemoryGuest, type TimedTrial, type Upstream } from '../support/shared-trial.js'

const { domainGetXmlDesc: READ, domainGetInfo: OTHER, domainSetMetadata: WRITE, domainOpenConsole: CONSOLE } = REMOTE
const HIGH = REMOTE.connectListAllDomains
const WAITS_FOR_ROOM = REMOTE.domainGetTime
const MiB = 2 ** 20
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')
const ask = latin('what')

/** Copies have a share of each turn: on a machine that is busy they may take some. */
const TURNS = 20
async function settle(): Promise<void> {
  for (let count = 0; count < TURNS; count++) await turn()
}

describe('reads of clients that share driver connections', () => {
  let trial: TimedTrial
  eachTrial(made => {
    trial = made
    Object.assign(trial.settings, { collapseReads: true, driverMaxRequests: 1, driverPoolSize: 1 })
  })

  const only = (): Upstream => trial.upstreams[0]!
  const asked = (upstream = only()): number[] => upstream.procedures()
  const texts = (guest: MemoryGuest | undefined): string[] => guest!.answers().map(({ payload }) => payload)

  /** The only place is taken until `free` is called. */
  async function occupied(): Promise<{ free: () => void }> {
    const before = await trial.open()
    before.call(WAITS_FOR_ROOM)
    const [call] = only().take()
    expect(call!.proc).to.equal(WAITS_FOR_ROOM)
    return { free: () => only().reply(call!) }
  }

  /** All of them ask the same while there is no room. Returns what the daemon gets then. */
  async function askAtOnce(all: readonly MemoryGuest[], args = ask): Promise<Frame[]> {
    const { free } = await occupied()
    for (const guest of all) guest.call(READ, args)
    expect(asked(), 'without room').to.deep.equal([])
    free()
    return only().take()
  }

  /** Answers these calls and those that come then. Returns all of them. */
  async function answerAll(calls: readonly Frame[], payload: (call: Frame) => Buffer = call => call.payload): Promise<Frame[]> {
    const all: Frame[] = []
    for (let next = calls; next.length > 0; next = only().take()) {
      all.push(...next)
      for (const call of next) only().reply(call, payload(call))
      await settle()
    }
    return all
  }

  describe('become one', () => {
    it('while they wait for room, and each gets the reply, under its own serial', async () => {
      const all = await trial.guests(5)
      all[3]!.call(WRITE)
      for (const call of only().take()) only().reply(call)
      all[3]!.answers()
      const calls = await askAtOnce(all)
      expect(calls.map(({ proc, payload }) => [proc, payload.toString()])).to.deep.equal([[READ, 'what']])
      only().reply(calls[0]!, latin('that'))
      await settle()
      const expected = all.map((_, i) => [{ proc: READ, serial: i === 3 ? 2 : 1, status: STATUS.ok, payload: 'that' }])
      expect(all.map(guest => guest.answers())).to.deep.equal(expected)
      expect(trial.counters.get(FAMILIES.joinedCalls)).to.equal(4)
    })

    it('until the one leaves, which is at the end of the turn', async () => {
      trial.settings.driverMaxRequests = 4
      const [a, b, late] = await trial.guests(3)
      a!.call(READ, ask)
      b!.call(READ, ask)
      const calls = only().take()
      late!.call(READ, ask)
      expect([calls.length, asked()]).to.deep.equal([1, [READ]])
      only().reply(calls[0]!, latin('before'))
      await settle()
      expect([texts(a), texts(b), texts(late)]).to.deep.equal([['before'], ['before'], []])
    })

    it('never with one that has left, though it waits for room', async () => {
      const [a, b] = await trial.guests(2)
      a!.call(READ, ask)
      const [first] = only().take()
      b!.call(READ, ask)
      only().reply(first!, latin('old'))
      const [second] = only().take()
      only().reply(second!, latin('new'))
      await settle()
      expect([texts(a), texts(b)]).to.deep.equal([['old'], ['new']])
    })

    it('several times for one client that asks at once', async () => {
      const [a, b] = await trial.guests(2)
      const { free } = await occupied()
      for (const guest of [a!, b!, b!, a!]) guest.call(READ, ask)
      free()
      const calls = only().take()
      expect(calls).to.have.length(1)
      only().reply(calls[0]!, latin('x'))
      await settle()
      for (const guest of [a!, b!]) expect(guest.answers().map(({ serial }) => serial)).to.have.members([1, 2])
    })

    it('up to 1,025 of them', async () => {
      const all = await trial.guests(1100)
      const calls = await askAtOnce(all)
      only().reply(calls[0]!)
      const more = only().take()
      expect([calls.length, more.length]).to.deep.equal([1, 1])
      only().reply(more[0]!)
      await trial.time.until('all replies', () => all.every(({ calls }) => calls.size === 0))
    })

    it('so that 200 who ask in the same few turns make a daemon work a dozen times at most', async () => {
      Object.assign(trial.settings, { driverMaxRequests: 4, driverPoolSize: 4 })
      const all = await trial.guests(200)
      const calls: { upstream: Upstream; call: Frame }[] = []
      const hear = (): void => {
        for (const upstream of trial.upstreams) for (const call of upstream.take()) calls.push({ upstream, call })
      }
      for (let first = 0; first < all.length; first += 25) {
        for (const guest of all.slice(first, first + 25)) guest.call(READ, ask)
        await settle()
        hear()
      }
      for (let next = calls[0], count = 0; next !== undefined; next = calls[++count]) {
        next.upstream.reply(next.call, latin('x'))
        await settle()
        hear()
      }
      expect(calls.length).to.be.at.most(12)
      expect(all.filter(guest => texts(guest).join() === 'x')).to.have.length(200)
    })

    it('with arguments of up to 4 KiB', async () => {
      for (const [bytes, expected] of [[4096, 1], [4100, 2]] as const) {
        const all = await trial.guests(2)
        const calls = await answerAll(await askAtOnce(all, pattern(bytes)))
        expect(calls.map(({ payload }) => payload.equals(pattern(bytes))), `${bytes} bytes`).to.deep.equal(
          Array.from({ length: expected }, () => true)
        )
        for (const guest of all) expect(texts(guest)).to.deep.equal([pattern(bytes).toString('latin1')])
      }
    })

    it('whatever the reply is: an error is copied as well', async () => {
      const all = await trial.guests(3)
      const [call] = await askAtOnce(all)
      only().transport.receive(errorReply(readHeader(call!.bytes), rpcError('no such thing')))
      await settle()
      for (const guest of all) {
        const [answer] = guest.answers()
        expect([answer!.status, answer!.payload.includes('no such thing')]).to.deep.equal([STATUS.error, true])
      }
    })

    for (const pieces of [1, 28, 29, 5000]) {
      it(`also when the reply comes in pieces of ${pieces} bytes`, async () => {
        const all = await trial.guests(3)
        const [call] = await askAtOnce(all)
        const reply = frame({ proc: READ, serial: call!.serial, type: MESSAGE.reply }, pattern(20_000))
        only().transport.receive(reply, pieces)
        await settle()
        for (const guest of all) {
          expect(guest.taken().equals(frame({ proc: READ, serial: 1, type: MESSAGE.reply }, pattern(20_000)))).to.equal(true)
        }
      })
    }
  })

  describe('stay apart', () => {
    async function apart(first: Parameters<MemoryGuest['call']>, second: typeof first, length = 2): Promise<void> {
      const [a, b] = await trial.guests(2)
      const { free } = await occupied()
      a!.call(...first)
      b!.call(...second)
      free()
      const calls = only().take()
      only().reply(calls[0]!)
      calls.push(...only().take())
      expect(calls).to.have.length(length)
    }

    it('but not if nothing differs', () => apart([READ, ask], [READ, ask], 1))
    it('if the procedure differs', () => apart([READ, ask], [OTHER, ask]))
    it('if a byte of the arguments differs', () => apart([READ, latin('what')], [READ, latin('whaT')]))
    it('if one has more arguments', () => apart([READ, latin('what')], [READ, latin('what?')]))
    it('if a word of the header differs that no client changes', () => apart([READ, ask], [READ, ask, { status: 2 }]))
    it('if they change something', () => apart([WRITE, ask], [WRITE, ask]))
    it('if a guest\'s agent is asked', () => apart([REMOTE.domainGetFsinfo, ask], [REMOTE.domainGetFsinfo, ask]))

    it('if they wait for no hypervisor', async () => {
      trial.settings.driverMaxRequests = 4
      for (const guest of await trial.guests(3)) guest.call(HIGH, ask)
      expect(asked()).to.deep.equal([HIGH, HIGH, HIGH])
    })

    it('if the daemon was told others of those who ask', async () => {
      const all = [await trial.open({ saslUserName: 'a' }), await trial.open({ saslUserName: 'b' })]
      for (const guest of all) guest.call(READ, ask)
      expect(trial.upstreams.map(upstream => asked(upstream))).to.deep.equal([[READ], [READ]])
    })

    it('if that is off', async () => {
      trial.settings.collapseReads = false
      trial.settings.driverMaxRequests = 4
      for (const guest of await trial.guests(3)) guest.call(READ, ask)
      expect(asked()).to.deep.equal([READ, READ, READ])
    })

    it('from those of a client with a call out that is no read, until that is answered', async () => {
      trial.settings.driverMaxRequests = 2
      const [a, writer] = await trial.guests(2)
      writer!.call(WRITE)
      const [write] = only().take()
      const other = await trial.open()
      other.call(WAITS_FOR_ROOM)
      const [occupier] = only().take()
      a!.call(READ, ask)
      writer!.call(READ, ask)
      only().reply(occupier!)
      const [read] = only().take()
      expect(asked(), 'the writer waits for room of its own').to.deep.equal([])
      only().reply(write!)
      expect(asked()).to.deep.equal([READ])
      only().reply(read!, latin('before the write'))
      await settle()
      expect(texts(a)).to.deep.equal(['before the write'])
      expect(texts(writer), 'the reply to its write').to.deep.equal([''])
    })

    it('but not from those of a client that has other reads out', async () => {
      trial.settings.driverMaxRequests = 2
      const [a, reader] = await trial.guests(2)
      reader!.call(OTHER)
      only().take()
      a!.call(READ, ask)
      reader!.call(READ, ask)
      expect(asked()).to.deep.equal([READ])
      expect(reader!.waiting).to.deep.equal([])
    })

    it('if they would overtake what the client has just sent by another connection', async () => {
      Object.assign(trial.settings, { driverMaxRequests: 1, driverPoolSize: 2 })
      const [a, reader, third] = await trial.guests(3)
      a!.call(WAITS_FOR_ROOM)
      reader!.call(OTHER)
      await settle()
      const [first, second] = trial.upstreams
      const [held] = first!.take()
      expect(asked(second)).to.deep.equal([OTHER])
      third!.call(READ, ask)
      reader!.call(READ, ask)
      first!.reply(held!)
      expect([asked(first), asked(second), reader!.waiting.length]).to.deep.equal([[READ], [], 1])
    })
  })

  describe('end as each would', () => {
    it('for those that are left when the first caller goes', async () => {
      const all = await trial.guests(3)
      const [call] = await askAtOnce(all)
      all[0]!.port.close()
      only().reply(call!, latin('x'))
      await settle()
      expect(all.map(guest => texts(guest))).to.deep.equal([[], ['x'], ['x']])
      expect(only().closed).to.equal(false)
    })

    it('also when it goes before the call has left', async () => {
      trial.settings.driverMaxRequests = 4
      const all = await trial.guests(3)
      all[0]!.call(READ, ask)
      all[1]!.call(READ, ask)
      all[0]!.port.close()
      all[1]!.port.close()
      all[2]!.call(READ, ask)
      const calls = only().take()
      expect(calls).to.have.length(1)
      only().reply(calls[0]!, latin('x'))
      await settle()
      expect(texts(all[2])).to.deep.equal(['x'])
    })

    it('for the others when one that has joined goes, before the reply or while it is copied', async () => {
      const all = await trial.guests(4)
      const [call] = await askAtOnce(all)
      all[1]!.port.close()
      only().reply(call!, latin('x'))
      all[2]!.port.close()
      await settle()
      expect(all.map(guest => texts(guest))).to.deep.equal([['x'], [], [], ['x']])
    })

    it('with the connection, if nobody waits any more', async () => {
      const bystander = await trial.open({ saslUserName: 'other' })
      const all = await trial.guests(3)
      const upstream = trial.upstreams[1]!
      for (const guest of all) guest.call(READ, ask)
      expect(asked(upstream)).to.deep.equal([READ])
      all[0]!.port.close()
      all[2]!.port.close()
      expect(upstream.closed).to.equal(false)
      all[1]!.port.close()
      expect([upstream.closed, bystander.heard]).to.deep.equal([true, []])
    })

    it('by the loss of the connection for all who had the call there, and for nobody who waits for another', async () => {
      Object.assign(trial.settings, { driverPoolSize: 2 })
      const [holder, ...all] = await trial.guests(5)
      holder!.call(WAITS_FOR_ROOM)
      await settle()
      const [kept] = trial.upstreams
      expect(asked(kept)).to.deep.equal([WAITS_FOR_ROOM])
      for (const guest of all.slice(0, 3)) guest.call(READ, ask)
      await trial.time.until('another connection', () => trial.upstreams[1])
      await settle()
      const second = trial.upstreams[1]!
      expect(asked(second)).to.deep.equal([READ])
      all[3]!.call(READ, ask)
      expect(all[3]!.waiting).to.have.length(1)
      second.transport.lose(104)
      const lost = ['lost: Cannot recv data: Connection reset by peer, 1, false']
      expect([holder!, ...all].map(({ heard }) => heard)).to.deep.equal([[], lost, lost, lost, []])
      await trial.time.until('a third', () => trial.upstreams[2])
      await settle()
      expect(asked(trial.upstreams[2])).to.deep.equal([READ])
    })

    it('on a connection of its own, for one that needs it afterwards', async () => {
      const all = await trial.guests(2)
      const [call] = await askAtOnce(all)
      all[1]!.call(CONSOLE)
      await settle()
      const own = trial.upstreams[1]!
      expect(asked(own)).to.deep.equal([CONSOLE])
      only().reply(call!, latin('x'))
      await settle()
      expect(all.map(guest => texts(guest))).to.deep.equal([['x'], ['x']])
    })

    it('and where one is being opened for it before its call is sent, the call goes there', async () => {
      const all = await trial.guests(2)
      const { free } = await occupied()
      all[0]!.call(READ, ask)
      all[1]!.call(CONSOLE)
      all[1]!.call(READ, ask)
      free()
      expect(asked()).to.deep.equal([READ])
      await settle()
      expect(asked(trial.upstreams[1])).to.deep.equal([CONSOLE])
    })

    it('when it is turned off meanwhile, and back on', async () => {
      const all = await trial.guests(4)
      const { free } = await occupied()
      for (const guest of all) guest.call(READ, ask)
      trial.settings.collapseReads = false
      free()
      const [first] = only().take()
      trial.settings.collapseReads = true
      only().reply(first!, latin('first'))
      const [second, ...more] = only().take()
      expect(more).to.deep.equal([])
      trial.settings.collapseReads = false
      only().reply(second!, latin('second'))
      await settle()
      expect(all.map(guest => texts(guest))).to.deep.equal([['first'], ['second'], ['second'], ['second']])
    })
  })

  describe('cost no more than each would', () => {
    it('of memory: a reply of more than 1 MiB is not copied, and the other calls are sent after all, each alone', async () => {
      for (const [bytes, calls] of [[MiB - HEADER_BYTES, 1], [MiB - HEADER_BYTES + 4, 3]] as const) {
        const all = await trial.guests(3)
        let count = 0
        await answerAll(await askAtOnce(all), () => pattern(bytes, ++count))
        expect(count, `${bytes} bytes`).to.equal(calls)
        all.forEach((guest, i) => {
          const expected = frame({ proc: READ, serial: 1, type: MESSAGE.reply }, pattern(bytes, Math.min(i + 1, calls)))
          expect(guest.taken().equals(expected), `client ${i}`).to.equal(true)
        })
      }
    })

    it('nor what those clients have called since', async () => {
      const all = await trial.guests(2)
      const [call] = await askAtOnce(all)
      all[1]!.call(OTHER)
      all[1]!.call(WRITE)
      expect(all[1]!.waiting).to.have.length(2)
      only().reply(call!, Buffer.alloc(MiB))
      await settle()
      const sent = await answerAll(only().take())
      expect(sent.map(({ proc }) => proc)).to.have.members([READ, OTHER, WRITE])
      expect(all[1]!.answers().map(({ serial }) => serial)).to.have.members([1, 2, 3])
    })

    it('not before a client reads again that does not', async () => {
      const all = await trial.guests(2)
      const [call] = await askAtOnce(all)
      all[1]!.port.pause()
      only().reply(call!, Buffer.alloc(MiB))
      await settle()
      expect(asked()).to.deep.equal([])
      all[1]!.port.resume()
      expect(asked()).to.deep.equal([READ])
    })

    it('but for its answer, if no connection can be had for it any more', async () => {
      await trial.open({ saslUserName: 'other' })
      const all = await trial.guests(2)
      const shared = trial.upstreams[1]!
      for (const guest of all) guest.call(READ, ask)
      const [call, ...more] = shared.take()
      expect(more).to.deep.equal([])
      trial.settings.driverMaxIdle = 0
      trial.drivers.refusal = rpcError('no more')
      shared.reply(call!, Buffer.alloc(MiB))
      await settle()
      await settle()
      const answers = all.map(guest => guest.answers().map(({ serial, status }) => [serial, status]))
      expect(answers).to.deep.equal([[[1, STATUS.ok]], [[1, STATUS.error]]])
      trial.drivers.refusal = undefined
      for (const guest of all) guest.call(OTHER)
      const next = await trial.time.until('the next try', () => trial.upstreams[2])
      await settle()
      next.reply(next.take()[0]!)
      await settle()
      expect(all.map(guest => [guest.answers().length, guest.heard])).to.deep.equal([[1, []], [1, []]])
    })

    it('of memory for those who do not read: with 32 MiB kept, what was joined is sent after all', async () => {
      trial.settings.driverMaxRequests = 40
      const [slow, ...all] = await trial.guests(3)
      slow!.port.pause()
      const fill = async (count: number): Promise<void> => {
        slow!.port.resume()
        for (let i = 0; i < count; i++) slow!.call(WRITE)
        slow!.port.pause()
        for (const call of only().take()) {
          only().reply(call, Buffer.alloc(MiB))
          await settle()
        }
      }
      for (const [kept, sent] of [[30, []], [32, [READ]]] as const) {
        await fill(kept)
        for (const guest of all) guest.call(READ, ask)
        const calls = only().take()
        expect(calls).to.have.length(1)
        only().reply(calls[0]!, pattern(1000))
        await settle()
        const again = only().take()
        expect(again.map(({ proc }) => proc)).to.deep.equal(sent)
        for (const call of again) only().reply(call, pattern(1000))
        for (const guest of all) expect(guest.answers()).to.have.length(1)
      }
    })

    it('of time: copies for many are made in more turns than one, in which others are served', async () => {
      trial.settings.driverMaxRequests = 2
      const neighbour = await trial.open()
      const all = await trial.guests(200)
      for (const guest of all) guest.call(READ, ask)
      const [call] = only().take()
      only().reply(call!, Buffer.alloc(MiB - 100))
      const done = (): number => all.filter(({ calls }) => calls.size === 0).length
      await settle()
      expect(done(), 'after a turn').to.be.within(2, 199)
      neighbour.call(OTHER, ask)
      const [other] = only().take()
      only().reply(other!, latin('quick'))
      expect(texts(neighbour)).to.deep.equal(['quick'])
      expect(done(), 'by then').to.be.below(200)
      await trial.time.until('all', () => {
        for (const guest of all) guest.taken()
        return done() === 200
      })
    })

    it('of the patience of a daemon: a call that joins takes no place, and one that waits goes in its turn', async () => {
      const all = await trial.guests(3)
      const { free } = await occupied()
      all[0]!.call(OTHER)
      all[1]!.call(READ, ask)
      all[2]!.call(READ, ask)
      all[2]!.call(OTHER, latin('last'))
      free()
      const order = await answerAll(only().take())
      expect(order.map(({ proc, payload }) => [proc, payload.toString()])).to.deep.equal([[OTHER, ''], [READ, 'what'], [OTHER, 'last']])
    })
  })
})
