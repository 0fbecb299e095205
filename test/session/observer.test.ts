import { expect } from 'chai'
import { encodeError, rpcError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Clock } from '#workers/base/clock.js'
import { CallCounts, sumOf } from '#workers/observe/call-counts.js'
import type { SessionObserver } from '#workers/thread/session-observer.js'
import { Cleanup } from '../support/cleanup.js'
import { MemorySession } from '../support/memory-session.js'

const CALL = REMOTE.domainGetInfo
const SAVE = REMOTE.domainSave

interface Told {
  proc: number
  how: 'ok' | 'error' | 'refused'
  queued?: number
  atDriver?: number
}

class Listener implements SessionObserver {
  readonly told: Told[] = []
  constructor(readonly timing: boolean) {}

  changed(): void {}

  answered(_client: unknown, _prog: number, proc: number, status: number, queued: number, atDriver: number): void {
    this.told.push({ proc, how: status === STATUS.ok ? 'ok' : 'error', ...(this.timing && { queued, atDriver }) })
  }

  refused(_client: unknown, _prog: number, proc: number): void {
    this.told.push({ proc, how: 'refused' })
  }
}

describe('the observer of a session', () => {
  const cleanup = new Cleanup()
  let clock: Clock
  before(() => {
    clock = new Clock(() => undefined)
    cleanup.defer(() => Promise.resolve(clock.stop()))
  })
  after(() => cleanup.run())

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
          { proc: SAVE, how: 'error' },
          { proc: REMOTE.connectGetUri, how: 'ok' },
          { proc: REMOTE.authSaslStep, how: 'refused' },
          ...Array.from({ length: 4 }, () => ({ proc: CALL, how: 'error' })),
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

  it('that counts has the counts of all threads by procedure, also of those that nobody knows', async () => {
    const threads = [CallCounts.share(), CallCounts.share()]
    for (const shared of threads) {
      const trial = new MemorySession(clock, 'own', { observer: new CallCounts(shared) })
      await trial.open()
      for (let i = 0; i < 3; i++) {
        trial.call(CALL)
        trial.port.reply(trial.port.take()[0]!)
      }
      trial.call(CALL)
      trial.port.reply(trial.port.take()[0]!, encodeError(rpcError('no')), { status: STATUS.error })
      trial.call(REMOTE.authSaslStep)
    }
    const other = new CallCounts(threads[0]!)
    other.answered(undefined, PROGRAM.remote, 5000, STATUS.ok)
    other.refused(undefined, 0x1234_5678, 1)
    other.answered(undefined, PROGRAM.qemu, 4, STATUS.ok)
    expect(sumOf(threads)).to.deep.equal([
      { prog: PROGRAM.remote, proc: REMOTE.connectOpen, ok: 2, error: 0, refused: 0 },
      { prog: PROGRAM.remote, proc: CALL, ok: 6, error: 2, refused: 0 },
      { prog: PROGRAM.remote, proc: REMOTE.authSaslStep, ok: 0, error: 0, refused: 2 },
      { prog: PROGRAM.qemu, proc: 4, ok: 1, error: 0, refused: 0 },
      { prog: undefined, proc: undefined, ok: 1, error: 0, refused: 1 }
    ])
  })
})
