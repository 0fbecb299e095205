import { expect } from 'chai'
import { decodeError, rpcError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Clock } from '#workers/base/clock.js'
import { LEGAL, type SessionState } from '#workers/session/session-state.js'
import { Cleanup } from '../support/cleanup.js'
import { frame, type Frame } from '../support/frame-socket.js'
import type { PortKind } from '../support/memory-driver.js'
import { MemorySession, settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetInfo
const REGISTER = REMOTE.connectDomainEventCallbackRegisterAny
const DEREGISTER = REMOTE.connectDomainEventCallbackDeregisterAny
const EVENT = REMOTE.domainEventCallbackLifecycle
const id = (value: number): Buffer => new XdrWriter().i32(value).finish()
const errorOf = ({ status, payload }: Frame): string => {
  expect(status).to.equal(STATUS.error)
  return decodeError(payload).message
}

/** What brings a session into each state. */
const INTO: Record<SessionState, (trial: MemorySession) => void | Promise<unknown>> = {
  authenticating: () => undefined,
  authenticated: ({ session }) => session.login.authenticated({}),
  opening: async trial => {
    await INTO.authenticated(trial)
    trial.connectOpen()
  },
  open: async trial => {
    await INTO.authenticated(trial)
    await trial.open()
  },
  lost: async trial => {
    await INTO.open(trial)
    trial.port.lose()
  },
  reopening: async trial => {
    await INTO.lost(trial)
    trial.call(CALL)
  },
  closing: async trial => {
    await INTO.open(trial)
    trial.transport.slow = true
    trial.session.closeInOrder(undefined)
  },
  closed: ({ session }) => session.close('test', 'debug')
}

/** What may happen to a session, and where it leads from which states; from all others it leads nowhere. */
const DEEDS: Record<string, { deed: (trial: MemorySession) => void; leads: Partial<Record<SessionState, SessionState>> }> = {
  'logs in': { deed: ({ session }) => session.login.authenticated({}), leads: { authenticating: 'authenticated' } },
  'opens a name': {
    deed: trial => void trial.connectOpen(),
    leads: { authenticated: 'opening', lost: 'opening' }
  },
  'has a daemon that is open': {
    deed: ({ drivers }) => drivers.openings.at(-1)?.succeed(),
    leads: { opening: 'open', reopening: 'open' }
  },
  'has a daemon that refuses': {
    deed: ({ drivers }) => drivers.openings.at(-1)?.fail(rpcError('no')),
    leads: { opening: 'authenticated', reopening: 'lost' }
  },
  'loses its daemon': { deed: ({ drivers }) => drivers.openings.at(-1)?.port.lose(), leads: { open: 'lost' } },
  'calls its daemon': { deed: trial => void trial.call(CALL), leads: { lost: 'reopening' } },
  'is closed in order': {
    deed: trial => {
      trial.transport.slow = true
      trial.session.closeInOrder(undefined)
    },
    leads: {
      authenticating: 'closing', authenticated: 'closing', opening: 'closing', open: 'closing', lost: 'closing',
      reopening: 'closing'
    }
  },
  'is closed': {
    deed: ({ session }) => session.close('test', 'debug'),
    leads: {
      authenticating: 'closed', authenticated: 'closed', opening: 'closed', open: 'closed', lost: 'closed',
      reopening: 'closed', closing: 'closed'
    }
  }
}

describe('the states of a session', () => {
  const cleanup = new Cleanup()
  const clock = new Clock(() => undefined)
  cleanup.defer(() => Promise.resolve(clock.stop()))
  after(() => cleanup.run())

  for (const from of Object.keys(LEGAL) as SessionState[]) {
    for (const [what, { deed, leads }] of Object.entries(DEEDS)) {
      const to = leads[from]
      it(`${from}: one that ${what} ${to === undefined ? 'stays what it is' : `is ${to}`}`, async () => {
        const trial = new MemorySession(clock, 'own', { auth: 'polkit' })
        await INTO[from](trial)
        expect(trial.session.state).to.equal(from)
        deed(trial)
        await settle()
        expect(trial.session.state).to.equal(to ?? from)
        expect(trial.failures).to.deep.equal([])
        trial.session.close('test', 'debug')
      })
    }
  }

  const OPENED = 'test:///memory'

  it('are told as far as others have to know of them', async () => {
    const trial = new MemorySession(clock, 'own', { auth: 'polkit' })
    await INTO.open(trial)
    trial.transport.slow = true
    trial.call(REMOTE.connectClose)
    expect(trial.told).to.deep.equal([['serving', undefined], ['serving', OPENED], ['closing', OPENED]])
    trial.session.close('test', 'debug')
    const drained = new MemorySession(clock, 'own')
    await drained.open()
    drained.call(CALL)
    drained.transport.slow = true
    drained.session.leave.drain()
    drained.session.leave.drain()
    expect(drained.told).to.deep.equal([['serving', OPENED], ['draining', OPENED]])
    drained.port.reply(drained.port.take()[0]!)
    drained.transport.drain()
    drained.session.leave.closeIfDrained()
    expect(drained.told.at(-1)).to.deep.equal(['closing', OPENED])
  })

  it('lead nowhere but where something that happens leads', () => {
    for (const [from, states] of Object.entries(LEGAL) as [SessionState, readonly SessionState[]][]) {
      const found = new Set(Object.values(DEEDS).flatMap(({ leads }) => leads[from] ?? []))
      expect([...found], from).to.have.members([...states])
    }
  })
})

for (const kind of ['own', 'shared'] as PortKind[]) {
  describe(`a session with ${kind === 'own' ? 'a driver port of its own' : 'a part in a shared driver port'}`, () => {
    const cleanup = new Cleanup()
    const clock = new Clock(() => undefined)
    cleanup.defer(() => Promise.resolve(clock.stop()))
    after(() => cleanup.run())

    async function open(options: { reconnects?: boolean } = {}): Promise<MemorySession> {
      const trial = new MemorySession(clock, kind, options)
      await trial.open()
      expect(trial.session.state).to.equal('open')
      return trial
    }

    it('has a call for whole where it stands whole, and not because all of it has come', async () => {
      const trial = await open()
      for (let cut = 1; cut < 40; cut++) {
        const serial = trial.callInTwo(CALL, pattern(12, cut), cut)
        trial.port.reply(trial.port.take()[0]!)
        expect(trial.take()[0]).to.include({ serial, status: STATUS.ok })
      }
      expect(trial.failures).to.deep.equal([])
    })

    it('has its calls answered, whatever the serials and pieces', async () => {
      const trial = await open()
      for (const pieces of [1, 27, 28, 29, 100, Infinity]) {
        const args = pattern(120)
        const serial = trial.call(CALL, args, pieces)
        const [call, ...more] = trial.port.take()
        expect([call!.payload.equals(args), more.length]).to.deep.equal([true, 0])
        trial.port.reply(call!, pattern(50, 7))
        const [reply] = trial.take()
        expect(reply).to.include({ serial, proc: CALL, type: MESSAGE.reply, status: STATUS.ok })
        expect(reply!.payload.equals(pattern(50, 7))).to.equal(true)
      }
      expect(trial.session.flow.busy).to.equal(false)
    })

    it('lets nothing of a call go that is not whole if the port wants none of it', async () => {
      const trial = await open()
      const bytes = frame({ proc: CALL, serial: 1 }, pattern(100))
      trial.transport.receive(bytes.subarray(0, 60))
      expect(trial.port.partial).to.equal(kind === 'own' ? 60 : 0)
      trial.transport.receive(bytes.subarray(60))
      expect(trial.port.take()).to.have.length(1)
    })

    it('keeps calls in their order while the port takes no more, also one that is still coming', async () => {
      const trial = await open()
      trial.port.window = 2
      const serials = Array.from({ length: 6 }, (_, i) => trial.call(CALL, pattern(10 + i)))
      const cut = frame({ proc: CALL, serial: 99 }, pattern(1000))
      trial.transport.receive(cut.subarray(0, 500))
      const first = trial.port.take()
      expect(first).to.have.length(2)
      const calls = [...first]
      for (let at = 0; at < 6; at++) {
        if (at === 5) trial.transport.receive(cut.subarray(500))
        trial.port.reply(calls[at]!)
        calls.push(...trial.port.take())
      }
      expect(calls.map(({ payload }) => payload.length)).to.deep.equal([10, 11, 12, 13, 14, 15, 1000])
      trial.port.reply(calls[6]!)
      expect(trial.take().map(({ serial }) => serial)).to.deep.equal([...serials, 99])
    })

    it('has replies in any order, and of calls with the same serial', async () => {
      const trial = await open()
      for (const proc of [CALL, REMOTE.domainGetState]) trial.transport.receive(frame({ proc, serial: 7 }))
      for (const call of trial.port.take().reverse()) trial.port.reply(call)
      expect(trial.take().map(({ proc, serial }) => [proc, serial])).to.deep.equal([[REMOTE.domainGetState, 7], [CALL, 7]])
    })

    it('says that a reply answers nothing when its call is settled already', async () => {
      const trial = await open()
      trial.call(CALL)
      const [call] = trial.port.take()
      const answered = { ...call! }
      expect(trial.port.reply(answered)).not.to.equal(undefined)
      expect(trial.port.reply(answered)).to.equal(undefined)
      expect(trial.take()).to.have.length(1)
    })

    it('is not read while the port takes no more, and pauses the port while its client does not read', async () => {
      const trial = await open()
      trial.port.slow = true
      trial.call(CALL)
      expect(trial.transport.paused).to.equal(true)
      trial.port.user.driverEvents.driverDrained()
      expect(trial.transport.paused).to.equal(false)
      trial.transport.slow = true
      trial.port.reply(trial.port.take()[0]!)
      expect([trial.port.paused, trial.transport.paused]).to.deep.equal([true, true])
      trial.transport.drain()
      expect([trial.port.paused, trial.transport.paused]).to.deep.equal([false, false])
    })

    it('is told of the loss of its daemon: calls, those that wait, and what is still to come of one', async () => {
      const trial = await open({ reconnects: false })
      trial.port.window = 1
      const serials = [trial.call(CALL), trial.call(CALL)]
      trial.transport.receive(frame({ proc: CALL, serial: 99 }, pattern(100)).subarray(0, 60))
      trial.port.lose()
      const told = trial.take()
      expect(told.map(({ serial }) => serial)).to.deep.equal([...serials, 99])
      for (const reply of told) expect(errorOf(reply)).to.equal('gone')
      trial.transport.receive(frame({ proc: CALL, serial: 99 }, pattern(100)).subarray(60))
      expect(trial.take()).to.have.length(0)
      trial.call(CALL)
      expect(errorOf(trial.take()[0]!)).to.match(/client socket is closed/)
      expect(trial.session.state).to.equal('lost')
    })

    it('is reconnected by its next call, which waits for that', async () => {
      const trial = await open()
      trial.port.lose()
      const serial = trial.call(CALL)
      expect([trial.session.state, trial.take().length]).to.deep.equal(['reopening', 0])
      trial.drivers.last.succeed()
      await settle()
      trial.port.reply(trial.port.take()[0]!)
      expect(trial.take().map(reply => reply.serial)).to.deep.equal([serial])
    })

    it('tells calls that waited when it is not reconnected, and does not try again at once', async () => {
      const trial = await open()
      trial.port.lose()
      trial.call(CALL)
      trial.drivers.last.fail(rpcError('still away'))
      await settle()
      expect(errorOf(trial.take()[0]!)).to.equal('still away')
      trial.call(CALL)
      expect(errorOf(trial.take()[0]!)).to.match(/client socket is closed/)
      expect(trial.drivers.openings).to.have.length(2)
    })

    it('asks why a call is refused without starting anything', async () => {
      const trial = await open()
      trial.port.lose()
      expect(trial.session.refusals.refusal(frame({ proc: CALL }), 0, 0)).to.equal(undefined)
      expect([trial.session.state, trial.drivers.openings.length]).to.deep.equal(['lost', 1])
    })

    it('keeps its registrations over a reconnection, under the ids that the client knows', async () => {
      const trial = await open()
      trial.call(REGISTER, id(0))
      trial.port.reply(trial.port.take()[0]!, id(3))
      expect(trial.take()[0]!.payload.readInt32BE(0)).to.equal(3)
      trial.port.lose()
      trial.call(CALL)
      trial.drivers.last.succeed()
      await settle()
      expect(trial.drivers.last.calls.map(({ proc }) => proc)).to.deep.equal([REGISTER])
      trial.drivers.last.calls.shift()!.resolve(id(8))
      await settle()
      expect(trial.session.state).to.equal('open')
      trial.port.send(frame({ proc: EVENT, type: MESSAGE.event }, id(8)))
      trial.port.send(frame({ proc: EVENT, type: MESSAGE.event }, id(3)))
      expect(trial.take().map(({ payload }) => payload.readInt32BE(0))).to.deep.equal([3])
      trial.call(DEREGISTER, id(3))
      expect(trial.port.take().map(({ payload }) => payload.toString('hex'))).to.include(id(8).toString('hex'))
    })

    it('is not reconnected when the daemon goes again meanwhile', async () => {
      const trial = await open()
      trial.call(REGISTER, id(0))
      trial.port.reply(trial.port.take()[0]!, id(3))
      trial.port.lose()
      trial.call(CALL)
      trial.drivers.last.succeed()
      await settle()
      trial.take()
      trial.drivers.last.lose()
      await settle()
      expect(errorOf(trial.take()[0]!)).to.equal('driver daemon was lost again')
      expect(trial.session.state).to.equal('lost')
    })

    it('is not reconnected when the daemon is there and makes no registrations, and tries again', async () => {
      const trial = new MemorySession(clock, kind, { openTimeoutMs: 300 })
      await trial.open()
      trial.call(REGISTER, id(0))
      trial.port.reply(trial.port.take()[0]!, id(3))
      trial.port.lose()
      trial.take()
      const serial = trial.call(CALL)
      const { last } = trial.drivers
      last.succeed()
      await waitFor('the answer', () => trial.transport.frames.length > 0)
      const [reply] = trial.take()
      expect(reply!.serial).to.equal(serial)
      expect(errorOf(reply!)).to.match(/did not open the connection within 0.3 s/)
      expect(last.abandoned).to.equal(true)
      await waitFor('another reconnection', () => trial.session.state === 'reopening')
      trial.drivers.last.succeed()
      await settle()
      trial.drivers.last.calls.shift()!.resolve(id(8))
      await settle()
      expect(trial.session.state).to.equal('open')
    })

    it('hears of a daemon that goes as soon as it is back', async () => {
      const trial = await open()
      trial.port.lose()
      trial.call(CALL)
      const { last } = trial.drivers
      // Before anything else that waits for a promise.
      last.served = () => queueMicrotask(() => last.port.lose())
      last.succeed()
      await settle()
      expect(trial.session.state).to.equal('lost')
      expect(trial.take().map(errorOf)).to.deep.equal(['gone'])
    })

    it('ends when it is reconnected, if its client has asked for that meanwhile', async () => {
      const trial = await open()
      trial.call(REGISTER, id(0))
      trial.port.reply(trial.port.take()[0]!, id(3))
      trial.port.lose()
      trial.take()
      await waitFor('the reconnection of one who listens', () => trial.session.state === 'reopening')
      const serial = trial.call(REMOTE.connectClose)
      expect(trial.take()).to.deep.equal([])
      trial.drivers.last.succeed()
      await settle()
      trial.drivers.last.calls.shift()!.resolve(id(8))
      await settle()
      expect([trial.take().map(reply => reply.serial), trial.ended]).to.deep.equal([[serial], 'closed by the client'])
    })

    it('gives up what is being opened when it is closed', async () => {
      const trial = new MemorySession(clock, kind)
      trial.connectOpen()
      trial.session.close('test', 'debug')
      expect(trial.drivers.last.abandoned).to.equal(true)
      await settle()
      expect([trial.session.state, trial.failures]).to.deep.equal(['closed', []])
    })

    it('leaves its port in order when nothing is out, and else gives up', async () => {
      const quiet = await open()
      quiet.call(REMOTE.connectClose)
      expect(quiet.port.state).to.equal('left')
      const busy = await open()
      busy.call(CALL)
      busy.session.close('test', 'debug')
      expect(busy.port.state).to.equal('closed')
    })

    it('lets a client that wants to close have its answers first', async () => {
      const trial = await open()
      const serials = [trial.call(CALL), trial.call(REMOTE.connectClose)]
      expect(trial.session.state).to.equal('open')
      trial.port.reply(trial.port.take()[0]!)
      expect(trial.take().map(({ serial }) => serial)).to.deep.equal(serials)
      expect([trial.session.state, trial.ended]).to.deep.equal(['closed', 'closed by the client'])
    })

    it('has a stream from the OK reply of its call to its end', async () => {
      const trial = await open()
      const serial = trial.call(REMOTE.domainOpenConsole, new XdrWriter().u32(0).u32(0).finish())
      const [call] = trial.port.take()
      const packet = (status: number, payload?: Buffer): Buffer =>
        frame({ proc: call!.proc, serial, type: MESSAGE.stream, status }, payload)
      trial.transport.receive(packet(STATUS.continue, pattern(10)))
      expect(trial.port.take(), 'before the reply').to.have.length(0)
      trial.port.reply(call!)
      trial.transport.receive(packet(STATUS.continue, pattern(10)))
      expect(trial.port.take()).to.have.length(1)
      trial.port.send(packet(STATUS.continue, pattern(20)))
      trial.port.send(packet(STATUS.ok))
      trial.port.send(packet(STATUS.continue, pattern(20)))
      expect(trial.take().map(({ type, status }) => [type, status])).to.deep.equal([
        [MESSAGE.reply, STATUS.ok], [MESSAGE.stream, STATUS.continue], [MESSAGE.stream, STATUS.ok]
      ])
      expect(trial.session.flow.streams.size).to.equal(0)
    })

    it('has a stream fail whose hole cannot be made', async () => {
      const trial = await open()
      const serial = trial.call(REMOTE.storageVolUpload, new XdrWriter().u32(0).u32(1).finish())
      const [call] = trial.port.take()
      trial.port.reply(call!)
      trial.take()
      trial.port.send(frame({ proc: call!.proc, serial, type: MESSAGE.reply, status: STATUS.error }))
      expect(trial.take()[0]).to.include({ type: MESSAGE.stream, status: STATUS.error, serial })
      expect(trial.session.flow.streams.size).to.equal(0)
    })
  })
}
