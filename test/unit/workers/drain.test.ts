import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import type { RemoteError } from '#protocol/errors.js'
import { Drain, type DrainedSession } from '#workers/actor/drain.js'
import { Clock } from '#workers/base/clock.js'
import type { Drained } from '#workers/session/session-owner.js'
import { Figures } from '#workers/thread/figures.js'
import { waitFor } from '../../support/waiting.js'

/** A session that is idle if it has nothing unfinished. */
class PlayedSession implements DrainedSession, Drained {
  drained = false
  error: RemoteError | undefined
  waitsForClient = false

  constructor(readonly thread: PlayedThread, public unfinished = { calls: 0, streams: 0 }) {
    thread.all.add(this)
  }

  get leave(): this {
    return this
  }

  drain(): void {
    this.drained = true
    this.closeIfDrained()
  }

  closeIfDrained(): void {
    if (this.drained && this.unfinished.calls + this.unfinished.streams === 0) this.close()
  }

  giveUp(): void {
    this.close()
  }

  cutOff(error: RemoteError): void {
    this.error = error
    this.close()
  }

  close(): void {
    this.thread.all.delete(this)
  }
}

class PlayedThread {
  readonly clock = new Clock(() => undefined)
  readonly figures = new Figures()
  leaving: { readonly room: number } = { room: 1000 }
  readonly all = new Set<PlayedSession>()
  readonly failures: unknown[] = []

  sessions(): Iterable<PlayedSession> {
    return this.all
  }

  failed(_: unknown, error: unknown): void {
    this.failures.push(error)
  }
}

describe('the draining of a thread', () => {
  let thread: PlayedThread
  beforeEach(() => (thread = new PlayedThread()))
  afterEach(() => thread.clock.stop())

  it('closes idle clients a few hundred a turn', async () => {
    for (let i = 0; i < 1000; i++) new PlayedSession(thread)
    new Drain(thread, 60_000)
    const left: number[] = []
    while (thread.all.size > 0) {
      left.push(thread.all.size)
      await turn()
    }
    expect(left).to.deep.equal([744, 488, 232])
    expect([thread.figures.left, thread.figures.cutOff]).to.deep.equal([{ clients: 0, calls: 0, streams: 0 }, false])
  })

  it('closes no more at a time than can say goodbye to their daemons', async () => {
    for (let i = 0; i < 100; i++) new PlayedSession(thread)
    const told = (): number => 100 - thread.all.size
    let limit = 30
    thread.leaving = { get room() { return Math.max(0, limit - told()) } }
    const drain = new Drain(thread, 60_000)
    await turn()
    expect(told()).to.equal(30)
    limit = 70
    await waitFor('more', () => told() === 70)
    limit = 1000
    await waitFor('all', () => told() === 100)
    drain.stop()
  })

  it('tells what is left, and waits for it', async () => {
    const busy = new PlayedSession(thread, { calls: 2, streams: 0 })
    new PlayedSession(thread, { calls: 1, streams: 3 })
    new PlayedSession(thread)
    const drain = new Drain(thread, 60_000)
    expect(thread.figures.left).to.deep.equal({ clients: 2, calls: 3, streams: 3 })
    busy.unfinished = { calls: 0, streams: 0 }
    await waitFor('its end', () => !thread.all.has(busy))
    expect(thread.figures.left).to.deep.equal({ clients: 1, calls: 1, streams: 3 })
    drain.stop()
  })

  it('cuts off what is left when the time is over, and goes on telling what that was', async () => {
    const [stuck, others] = [new PlayedSession(thread, { calls: 1, streams: 2 }), new PlayedSession(thread)]
    new Drain(thread, 150)
    await waitFor('the end', () => thread.all.size === 0)
    expect(stuck.error?.message).to.match(/the broker was stopped/)
    expect(others.error).to.equal(undefined)
    expect([thread.figures.left, thread.figures.cutOff]).to.deep.equal([{ clients: 1, calls: 1, streams: 2 }, true])
  })

  it('gives up a client that alone is waited for, and no other', async () => {
    const [idle, busy] = [new PlayedSession(thread, { calls: 1, streams: 0 }), new PlayedSession(thread, { calls: 1, streams: 0 })]
    idle.waitsForClient = true
    const drain = new Drain(thread, 60_000)
    await waitFor('its end', () => !thread.all.has(idle), 30_000)
    expect([idle.error, thread.all.has(busy), thread.figures.cutOff]).to.deep.equal([undefined, true, false])
    drain.stop()
  })

  it('waits for nothing when there is no time', () => {
    const stuck = new PlayedSession(thread, { calls: 1, streams: 0 })
    new Drain(thread, 0)
    expect(stuck.error).not.to.equal(undefined)
  })

  it('leaves those alone who come later', () => {
    new Drain(thread, 0)
    const later = new PlayedSession(thread, { calls: 1, streams: 0 })
    expect([later.drained, later.error, thread.all.size]).to.deep.equal([false, undefined, 1])
  })

  it('goes on when one session fails', () => {
    const failing = new PlayedSession(thread)
    failing.drain = () => { throw new Error('on purpose') }
    const other = new PlayedSession(thread)
    const drain = new Drain(thread, 60_000)
    expect([other.drained, String(thread.failures[0])]).to.deep.equal([true, 'Error: on purpose'])
    drain.stop()
  })
})
