import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { BusyClients, type BusySession } from '#workers/actor/busy-clients.js'
import type { Clock } from '#workers/base/clock.js'
import { Counters } from '#workers/thread/counters.js'
import { CallMeter } from '#workers/observe/call-meter.js'
import type { BusyReport } from '#workers/thread/busy-report.js'
import type { SessionObserver } from '#workers/thread/session-observer.js'
import { ProcedureSums } from '#main/metrics/procedure-figures.js'
import { MemorySession, suiteClock } from '../support/memory-session.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetInfo

describe('the clients that do most', () => {
  let clock: Clock
  suiteClock(made => (clock = made))

  const untraced = (): boolean => false

  async function trialWith(observer?: SessionObserver): Promise<{ trial: MemorySession; look: () => BusyReport; busy: BusyClients }> {
    const trial = new MemorySession(clock, 'own', observer === undefined ? {} : { observer })
    await trial.open()
    const busy = new BusyClients(clock, () => observer, 300)
    return { trial, busy, look: () => busy.look([trial.session], untraced) }
  }

  const answered = (trial: MemorySession): void => {
    trial.call(CALL)
    trial.port.reply(trial.port.take()[0]!)
  }

  it('are told with what they did between two looks, and how long it took', async () => {
    const { trial, look } = await trialWith()
    for (let i = 0; i < 3; i++) answered(trial)
    expect(look()).to.deep.equal({ ms: 0, clients: [] })
    for (let i = 0; i < 5; i++) answered(trial)
    const { ms, clients: [first] } = look()
    expect(ms).to.be.above(0)
    expect(first).to.include({ id: 1, calls: 5, inFlight: 0, waiting: 0, p99Us: undefined })
    expect(first!.bytesIn).to.equal(5 * 28)
    trial.call(CALL)
    await pause(60)
    trial.port.reply(trial.port.take()[0]!)
    for (let i = 0; i < 7; i++) trial.call(CALL)
    const { clients: [second] } = look()
    // Of those that are out the daemon has four.
    expect(second).to.include({ calls: 5, inFlight: 4, waiting: 3 })
    expect(second!.p99Us).to.be.within(50_000, 5_000_000)
    expect(second!.oldestMs).to.be.at.least(0)
    expect(look().clients[0]).to.include({ calls: 0, inFlight: 4, p99Us: undefined })
  })

  it('are told to the thread\'s own observer all the same, and it has them back when nobody looks any more', async () => {
    const counters = new Counters()
    const { trial, look } = await trialWith(new CallMeter(counters))
    const sums = () => new ProcedureSums().sum([counters.words])
    const counted = (): number => sums().find(({ procedure }) => procedure === 'DOMAIN_GET_INFO')!.outcomes[0]!
    for (let i = 0; i < 3; i++) {
      answered(trial)
      look()
    }
    expect(counted()).to.equal(3)
    const observers: unknown[] = []
    const observe = trial.session.observe.bind(trial.session)
    trial.session.observe = observer => {
      observers.push(observer)
      observe(observer)
    }
    await waitFor('nobody to look', () => observers.length > 0)
    expect(observers).to.deep.equal([undefined])
    answered(trial)
    expect(counted()).to.equal(4)
    expect(look()).to.deep.equal({ ms: 0, clients: [] })
  })

  it('are at most 64 of a thread, the busiest, and only their calls are timed, and of none that is traced', () => {
    const timed = new Set<number>()
    const sessions = Array.from({ length: 500 }, (_, at) => ({
      record: { id: at + 1 }, flow: { calls: { size: 0, total: 0 }, waiting: 0, oldest: 0 },
      client: { transport: { bytesIn: 0, bytesOut: 0 } },
      observe: (observer: unknown) => void (observer === undefined ? timed.delete(at + 1) : timed.add(at + 1))
    } satisfies BusySession))
    const busy = new BusyClients(clock, () => undefined)
    const look = (): BusyReport => busy.look(sessions, id => id === 500)
    look()
    for (const { record: { id }, flow } of sessions) flow.calls.total += id
    expect(look().clients.map(({ id, calls }) => [id, calls])).to.deep.equal(Array.from({ length: 64 }, (_, at) => [500 - at, 500 - at]))
    expect([...timed].sort((one, other) => one - other)).to.deep.equal(Array.from({ length: 63 }, (_, at) => 437 + at))
    sessions[0]!.flow.calls.total++
    expect(look().clients.map(({ id }) => id)).to.deep.equal([1])
    expect([...timed]).to.deep.equal([1])
    busy.leave(1)
    expect(timed.size).to.equal(0)
    busy.timeUp()
  })
})
