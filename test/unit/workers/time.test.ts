import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { Clock, Timer } from '#workers/base/clock.js'
import { Keepalive, type KeepalivePeer } from '#workers/framing/keepalive.js'
import type { KeepaliveSettings } from '#workers/thread/settings.js'
import { waitFor } from '../../support/waiting.js'

describe('the coarse clock', () => {
  let clock: Clock
  const failures: unknown[] = []
  beforeEach(() => (clock = new Clock((_session, error) => failures.push(error))))
  afterEach(() => clock.stop())

  /** A timer that notes when it goes off, in milliseconds from now. */
  function noting(): { timer: Timer; times: number[] } {
    const start = performance.now()
    const times: number[] = []
    return { times, timer: new Timer({ timeUp: () => times.push(performance.now() - start) }) }
  }

  // However late this loop is, it sees to timers in the order in which they are due.
  it('lets a timer go off once, not too early and little more than a tick late', async () => {
    const { timer, times } = noting()
    clock.set(timer, 150)
    await sleep(450)
    expect(times).to.have.length(1)
    expect(times[0]).to.be.at.least(90)
    await sleep(150)
    expect(times).to.have.length(1)
  })

  it('lets a timer be put off, brought forward, and called off', async () => {
    const [later, sooner, never] = [noting(), noting(), noting()]
    clock.set(later.timer, 100)
    clock.set(later.timer, 500)
    clock.set(sooner.timer, 5000)
    clock.set(sooner.timer, 100)
    clock.set(never.timer, 100)
    clock.cancel(never.timer)
    await sleep(800)
    expect([later.times.length, sooner.times.length, never.times.length]).to.deep.equal([1, 1, 0])
    expect(later.times[0]).to.be.at.least(440)
  })

  it('lets any of many be called off, by others that go off in the same moment, too', async () => {
    const all = Array.from({ length: 30 }, noting)
    for (const { timer } of all) clock.set(timer, 200)
    const gone = all.filter((_, i) => i % 3 === 0)
    for (const { timer } of gone) clock.cancel(timer)
    const late = noting()
    const early = new Timer({
      timeUp: () => {
        clock.cancel(late.timer)
        clock.cancel(all[1]!.timer)
      }
    })
    clock.set(early, 100)
    clock.set(late.timer, 100)
    await sleep(600)
    const went = all.map(({ times }, i) => (times.length > 0 ? i : -1)).filter(i => i >= 0)
    expect(went).to.deep.equal(all.map((_, i) => i).filter(i => i % 3 !== 0 && i !== 1))
    expect(late.times).to.deep.equal([])
  })

  it('knows nothing any more of a timer that was called off', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const owners = Array.from({ length: 10 }, () => {
      let owner: { timeUp: () => void } | undefined = { timeUp: () => undefined }
      const timer = new Timer(owner)
      clock.set(timer, 60_000)
      clock.cancel(timer)
      const reference = new WeakRef(owner)
      owner = undefined
      return reference
    })
    return new Promise<void>((resolve, reject) => {
      // A WeakRef holds what it refers to until the turn is over.
      setTimeout(() => {
        collect()
        const kept = owners.filter(reference => reference.deref() !== undefined).length
        if (kept === 0) resolve()
        else reject(new Error(`${kept} owners are still in memory`))
      }, 20)
    })
  })

  it('lets a timer be set again when it goes off', async () => {
    let count = 0
    const timer = new Timer({
      timeUp: self => {
        if (++count < 3) clock.set(self, 50)
      }
    })
    clock.set(timer, 50)
    await waitFor('the third time', () => count === 3)
  })

  it('loses no timer while the loop is blocked', async () => {
    const all = [100, 200, 300, 400].map(ms => {
      const noted = noting()
      clock.set(noted.timer, ms)
      return noted
    })
    const until = performance.now() + 600
    while (performance.now() < until);
    await waitFor('all of them', () => all.every(({ times }) => times.length === 1))
  })

  it('goes on when somebody fails at his time', async () => {
    const { timer, times } = noting()
    clock.set(new Timer({ timeUp: () => { throw new Error('his own') } }), 50)
    clock.set(timer, 50)
    await waitFor('the other', () => times.length === 1)
    expect(String(failures[0])).to.contain('his own')
  })
})

/** A clock that is moved by hand. */
class HandClock {
  now = 0
  readonly #timers = new Set<Timer>()

  set(timer: Timer, ms: number): void {
    timer.due = this.now + ms
    this.#timers.add(timer)
  }

  cancel(timer: Timer): void {
    timer.due = -1
    this.#timers.delete(timer)
  }

  advance(ms: number): void {
    for (const until = this.now + ms; ;) {
      const [next] = [...this.#timers].filter(({ due }) => due <= until).sort((a, b) => a.due - b.due)
      if (next === undefined) return void (this.now = until)
      this.now = next.due
      this.cancel(next)
      next.owner.timeUp(next)
    }
  }
}

describe('keepalive with one peer', () => {
  let clock: HandClock
  let said: string[]
  let peer: KeepalivePeer & { paused: boolean }

  function keepalive(settings: KeepaliveSettings): Keepalive {
    clock = new HandClock()
    said = []
    const say = (what: string) => (): void => void said.push(`${what} ${clock.now / 1000}`)
    peer = { session: { close: () => undefined }, ping: say('ping'), pong: say('pong'), dead: say('dead'), paused: false }
    return new Keepalive(clock as unknown as Clock, settings, peer)
  }

  it('pings for each interval of silence, and gives up an interval after the last ping', () => {
    keepalive({ intervalMs: 5000, count: 5 }).startPinging()
    clock.advance(60_000)
    expect(said).to.deep.equal(['ping 5', 'ping 10', 'ping 15', 'ping 20', 'ping 25', 'dead 30'])
  })

  it('begins anew with any frame from the peer', () => {
    const alive = keepalive({ intervalMs: 5000, count: 1 })
    alive.startPinging()
    clock.advance(7000)
    alive.heardAt = clock.now
    clock.advance(6000)
    expect(said).to.deep.equal(['ping 5', 'ping 12'])
    clock.advance(10_000)
    expect(said.at(-1)).to.equal('dead 17')
  })

  it('gives up after one silent interval, without a ping, when the count is 0', () => {
    keepalive({ intervalMs: 5000, count: 0 }).startPinging()
    clock.advance(20_000)
    expect(said).to.deep.equal(['dead 5'])
  })

  for (const intervalMs of [0, -1000]) {
    it(`never pings with an interval of ${intervalMs}`, () => {
      keepalive({ intervalMs, count: 5 }).startPinging()
      clock.advance(600_000)
      expect(said).to.be.empty
    })
  }

  it('is silent towards a peer that has not shown that it knows keepalive', () => {
    keepalive({ intervalMs: 5000, count: 5 })
    clock.advance(600_000)
    expect(said).to.be.empty
  })

  it('gives no peer up that is not read, and tells it that we live', () => {
    const alive = keepalive({ intervalMs: 1000, count: 1 })
    alive.startPinging()
    peer.paused = true
    alive.peerPaused()
    clock.advance(10_000)
    expect(said).to.have.length.above(9)
    expect(said.filter(what => !what.startsWith('pong'))).to.be.empty
    peer.paused = false
    clock.advance(5000)
    expect(said.filter(what => what.startsWith('dead'))).to.have.length(1)
  })

  it('says nothing after it was stopped', () => {
    const alive = keepalive({ intervalMs: 1000, count: 1 })
    alive.startPinging()
    alive.stop()
    clock.advance(10_000)
    expect(said).to.be.empty
  })
})
