import { expect } from 'chai'
import { CODE, encodeError, rpcError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { lookup, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import type { Clock } from '#workers/base/clock.js'
import { ProcedureSums, type ProcedureFigures } from '#main/metrics/procedure-figures.js'
import { callObject } from '#workers/observe/call-object.js'
import { CallMeter } from '#workers/observe/call-meter.js'
import { Counters } from '#workers/thread/counters.js'
import { DRIVERS, driverOf, FAMILIES, SPANS, type Family } from '#workers/thread/metric-families.js'
import { LOST, type SessionObserver, type TimedCall } from '#workers/thread/session-observer.js'
import { MemorySession, suiteClock } from '../support/memory-session.js'

const CALL = REMOTE.domainGetInfo
const SAVE = REMOTE.domainSave

interface Told {
  proc: number
  how: 'ok' | 'refused' | 'lost' | number
  queued?: number
  atDriver?: number
}

class Listener implements SessionObserver {
  readonly told: Told[] = []
  readonly slowCalls: TimedCall[] = []
  readonly begins: string[] = []
  constructor(readonly timing: boolean, readonly slowUs = Infinity, readonly starts = false) {}

  begun(_client: unknown, _prog: number, proc: number, serial: number): void {
    this.begins.push(`${proc} ${serial}`)
  }

  slow(_client: unknown, call: TimedCall): void {
    this.slowCalls.push({ ...call, head: call.head && Buffer.from(call.head) })
  }

  changed(): void {}

  answered(_client: unknown, _prog: number, proc: number, code: number, queued: number, atDriver: number): void {
    this.told.push({ proc, how: code === 0 ? 'ok' : code === LOST ? 'lost' : code, ...(this.timing && { queued, atDriver }) })
  }

  refused(_client: unknown, _prog: number, proc: number): void {
    this.told.push({ proc, how: 'refused' })
  }
}

describe('the observer of a session', () => {
  let clock: Clock
  suiteClock(made => (clock = made))

  for (const kind of ['own', 'shared'] as const) {
    describe(`with a driver connection that is ${kind === 'own' ? 'its own' : 'shared'}`, () => {
      const start = async (observer: SessionObserver): Promise<MemorySession> => {
        const trial = new MemorySession(clock, kind, { observer })
        await trial.open()
        return trial
      }

      it('is told of each call once, whoever answers it and how', async () => {
        const observer = new Listener(false)
        const trial = await start(observer)
        expect(observer.told).to.deep.equal([{ proc: REMOTE.connectOpen, how: 'ok' }])
        observer.told.length = 0
        trial.call(CALL)
        trial.port.reply(trial.port.take()[0]!)
        trial.call(SAVE)
        trial.port.reply(trial.port.take()[0]!, encodeError(rpcError('no')), { status: STATUS.error })
        trial.call(REMOTE.connectGetUri)
        trial.call(REMOTE.authSaslStep)
        for (let i = 0; i < 5; i++) trial.call(CALL)
        trial.port.lose()
        expect(observer.told).to.deep.equal([
          { proc: CALL, how: 'ok' },
          { proc: SAVE, how: CODE.rpc },
          { proc: REMOTE.connectGetUri, how: 'ok' },
          { proc: REMOTE.authSaslStep, how: 'refused' },
          ...Array.from({ length: 4 }, () => ({ proc: CALL, how: 'lost' })),
          // No daemon was given this one.
          { proc: CALL, how: 'refused' }
        ])
        expect(trial.failures).to.deep.equal([])
      })

      it('is told how long each call waited and took, if it wants to know', async () => {
        const observer = new Listener(true)
        const trial = await start(observer)
        observer.told.length = 0
        trial.port.window = 1
        trial.call(SAVE)
        trial.call(CALL)
        await new Promise(resolve => setTimeout(resolve, 20))
        trial.port.reply(trial.port.take()[0]!)
        await new Promise(resolve => setTimeout(resolve, 10))
        trial.port.reply(trial.port.take()[0]!)
        const [first, second] = observer.told
        expect(first).to.include({ proc: SAVE, how: 'ok' })
        expect(first!.queued).to.equal(0)
        expect(first!.atDriver).to.be.within(19_000, 5_000_000)
        expect(second).to.include({ proc: CALL, how: 'ok' })
        expect(second!.queued).to.be.within(19_000, 5_000_000)
        expect(second!.atDriver).to.be.within(9_000, 5_000_000)
      })
    })
  }

  it('can be another one from now on, of this client alone, and the thread\'s own again', async () => {
    const own = new Listener(false)
    const other = new Listener(true)
    const trial = new MemorySession(clock, 'own', { observer: own })
    await trial.open()
    own.told.length = 0
    trial.call(SAVE)
    trial.session.observe(other)
    trial.call(CALL)
    expect(trial.session.flow.calls.givenAt(0)).to.equal(0)
    await new Promise(resolve => setTimeout(resolve, 10))
    for (const call of trial.port.take()) trial.port.reply(call)
    trial.call(REMOTE.connectGetUri)
    expect(own.told).to.deep.equal([])
    // When the first was called nobody wanted to know.
    expect(other.told[0]).to.deep.equal({ proc: SAVE, how: 'ok', queued: 0, atDriver: 0 })
    expect(other.told[1]!.atDriver).to.be.within(9_000, 5_000_000)
    expect(other.told[2]).to.include({ proc: REMOTE.connectGetUri, how: 'ok' })
    trial.session.observe(undefined)
    trial.call(CALL)
    trial.port.reply(trial.port.take()[0]!)
    trial.call(REMOTE.connectClose)
    expect(other.told).to.have.length(3)
    expect(own.told).to.deep.equal([{ proc: CALL, how: 'ok' }, { proc: REMOTE.connectClose, how: 'ok' }])
    expect(trial.failures).to.deep.equal([])
  })

  it('is told of calls that took long, with the beginning of their arguments', async () => {
    const observer = new Listener(true, 60_000_000)
    const trial = new MemorySession(clock, 'own', { observer })
    await trial.open()
    const tenMinutesLater = (act: () => void): void => {
      const now = performance.now.bind(performance)
      performance.now = () => now() + 600_000
      try {
        act()
      } finally {
        performance.now = now
      }
    }
    for (const name of ['first', 'second', 'third']) trial.call(CALL, new XdrWriter(64).string(name).finish())
    const [first, second, third] = trial.port.take()
    trial.port.reply(second!)
    tenMinutesLater(() => {
      trial.port.reply(third!)
      trial.port.reply(first!, encodeError(rpcError('no')), { status: STATUS.error })
    })
    const told = observer.slowCalls.map(({ proc, code, head }) => [proc, code, callObject(PROGRAM.remote, proc, head!)])
    expect(told).to.deep.equal([[CALL, 0, 'third'], [CALL, CODE.rpc, 'first']])
    for (const { queued, atDriver } of observer.slowCalls) expect(queued + atDriver).to.be.within(600_000_000, 660_000_000)
    observer.slowCalls.length = 0
    trial.call(CALL, new XdrWriter(64).string('in pieces').finish(), 7)
    tenMinutesLater(() => trial.port.reply(trial.port.take()[0]!))
    expect(observer.slowCalls.map(({ head }) => head)).to.deep.equal([undefined])
  })

  it('is told of calls that their client does not wait for', async () => {
    const observer = new Listener(false)
    const trial = new MemorySession(clock, 'own', { observer })
    await trial.open()
    trial.port.window = 1
    trial.call(CALL)
    trial.call(SAVE)
    observer.told.length = 0
    trial.session.close('gone', 'debug')
    expect(observer.told).to.deep.equal([{ proc: CALL, how: 'lost' }, { proc: SAVE, how: 'lost' }])
    expect(observer.begins).to.deep.equal([])
  })

  for (const kind of ['own', 'shared'] as const) {
    it(`is told of each call's beginning once, if it wants to know, with a driver connection that is ${kind}`, async () => {
      const observer = new Listener(true, Infinity, true)
      const trial = new MemorySession(clock, kind, { observer })
      await trial.open()
      expect(observer.begins).to.deep.equal([])
      trial.port.window = 1
      const serials = [trial.call(CALL), trial.call(CALL, new XdrWriter(64).string('in pieces').finish(), 7), trial.call(SAVE)]
      trial.call(REMOTE.connectGetUri)
      const expected = serials.map((serial, at) => `${at < 2 ? CALL : SAVE} ${serial}`)
      expect(observer.begins).to.deep.equal(expected)
      for (let count = 0; count < 3; count++) trial.port.reply(trial.port.take()[0]!)
      expect(observer.begins).to.deep.equal(expected)
    })
  }
})

describe('the meter of calls', () => {
  let clock: Clock
  suiteClock(made => (clock = made))

  const client = (uri?: string): Parameters<SessionObserver['changed']>[0] => ({
    id: 1, since: 0, listener: { name: 'main', transport: 'unix', readonly: false, auth: 'none' }, peer: undefined, via: undefined,
    identity: {}, state: 'serving', driver: uri === undefined ? 0 : driverOf(uri), opened: uri
  })
  const sums = (threads: readonly Counters[], all = new ProcedureSums()): ProcedureFigures[] => all.sum(threads.map(({ words }) => words))
  const at = ({ at, row, step }: Family, first: number, second: number): number => at + row * first + step * second

  it('has the counts of all threads by procedure and driver, also of those that nobody knows', async () => {
    const threads = [new Counters(), new Counters()]
    for (const counters of threads) {
      const trial = new MemorySession(clock, 'own', { observer: new CallMeter(counters) })
      await trial.open()
      for (let i = 0; i < 3; i++) {
        trial.call(CALL)
        trial.port.reply(trial.port.take()[0]!)
      }
      trial.call(CALL)
      trial.port.reply(trial.port.take()[0]!, encodeError(rpcError('no')), { status: STATUS.error })
      trial.call(REMOTE.authSaslStep)
      trial.call(CALL)
      trial.port.lose()
    }
    const other = new CallMeter(threads[0]!)
    other.answered(client(), PROGRAM.remote, 5000, 0, 0, 0)
    other.answered(client(), PROGRAM.remote, 1000, 0, 0, 0)
    other.refused(client(), 0x1234_5678, 1, rpcError('no'))
    other.answered(client('qemu:///system'), PROGRAM.qemu, 4, 0, 0, 0)
    const found = sums(threads).map(({ program, procedure, driver, outcomes }) => [program, procedure, driver, ...outcomes])
    expect(found).to.have.deep.members([
      ['remote', 'CONNECT_OPEN', 'test', 2, 0, 0, 0, 0],
      ['remote', 'DOMAIN_GET_INFO', 'test', 6, 2, 0, 2, 0],
      ['remote', 'AUTH_SASL_STEP', 'test', 0, 0, 2, 0, 0],
      ['qemu', 'CONNECT_DOMAIN_MONITOR_EVENT_REGISTER', 'qemu', 1, 0, 0, 0, 0],
      ['_OTHER', '_OTHER', 'none', 2, 0, 1, 0, 0]
    ])
    const test = DRIVERS.indexOf('test')
    for (const { words } of threads) expect(words[at(FAMILIES.callErrors, test, CODE.rpc)]).to.equal(1)
  })

  it('puts times into buckets, by where they were spent', () => {
    const counters = new Counters()
    const meter = new CallMeter(counters)
    const qemu = client('qemu:///system')
    meter.answered(qemu, PROGRAM.remote, SAVE, 0, 40, 60)
    meter.answered(qemu, PROGRAM.remote, SAVE, 0, 0, 400_000_000)
    // Of what the broker answers itself there is none.
    meter.answered(qemu, PROGRAM.remote, REMOTE.connectGetUri, 0, 0, 0)
    const [save] = sums([counters]).filter(({ procedure }) => procedure === 'DOMAIN_SAVE')
    const buckets = (...ones: number[]): number[] => Array.from({ length: 21 }, (_, i) => ones.filter(one => one === i).length)
    expect(save!.durations).to.deep.equal([...buckets(1, 20), 400_000_100])
    const read = (family: Family): number[] => [...counters.words.slice(at(family, qemu.driver, 0), at(family, qemu.driver, 1))]
    expect(read(FAMILIES.callQueue)).to.deep.equal([...buckets(0, 0), 40])
    expect(read(FAMILIES.callDriver)).to.deep.equal([...buckets(1, 20), 400_000_060])
  })

  it('goes on in the memory of a thread that has died', () => {
    const counters = new Counters()
    for (let i = 0; i < 2; i++) {
      const meter = new CallMeter(new Counters(counters.shared))
      meter.answered(client('lxc:///'), PROGRAM.remote, CALL, 0, 1, 1)
      meter.answered(client('xen:///system'), PROGRAM.remote, CALL, 0, 1, 1)
    }
    expect(sums([counters]).map(({ driver, outcomes }) => [driver, outcomes[0]])).to.deep.equal([['lxc', 2], ['xen', 2]])
  })

  it('tells of two hundred procedures one by one, and of the rest together, for good', () => {
    const threads = [new Counters(), new Counters()]
    const all = new ProcedureSums()
    const [first, second] = threads.map(counters => new CallMeter(counters))
    for (let proc = 1; proc <= 150; proc++) first!.answered(client(), PROGRAM.remote, proc, 0, 1, 1)
    expect(sums(threads, all)).to.have.length(150)
    for (let proc = 300; proc >= 1; proc--) second!.answered(client(), PROGRAM.remote, proc, 0, 1, 1)
    for (let i = 0; i < 2; i++) {
      const told = sums(threads, all)
      expect(told).to.have.length(201)
      const other = told.find(({ procedure }) => procedure === '_OTHER')!
      expect(other.outcomes[0]).to.equal(100)
    }
  })

  it('has a place for each procedure that there is', () => {
    for (const { prog, procedures } of SPANS) expect(lookup(prog, procedures), `program ${prog}`).to.equal(undefined)
  })
})
