import { Timer, type Clock, type Timed } from '../base/clock.js'
import type { Counters } from '../thread/counters.js'
import { LoopWatch } from '../thread/loop-watch.js'
import { DRIVERS, FAMILIES, POOL_STATE, SIDE } from '../thread/metric-families.js'

const LOOK_MS = 1000
const {
  callsInFlight, callsWaiting, oldestCall, poolWaiting, queuedBytes, registrations, served, sharedConnections, sharingClients, streams
} = FAMILIES
const BY_DRIVER = [callsInFlight, callsWaiting, oldestCall, registrations]

/** What is looked at in a session. */
export interface MeasuredSession {
  readonly record: { readonly driver: number }
  readonly flow: {
    readonly calls: { readonly size: number }
    readonly waiting: number
    /** When the oldest call came, of performance.now; 0 if there is none. */
    readonly oldest: number
    readonly streams: { readonly size: number }
    readonly registrations: { readonly size: number }
  }
  readonly client: { readonly transport: { readonly pending: number } }
}

/** What is looked at in a thread. */
export interface MeasuredThread {
  readonly clock: Clock
  readonly counters: Counters
  /** Connections to driver daemons. */
  readonly links: { readonly queued: number }
  readonly drivers: {
    readonly figures: { readonly guests: number; readonly waiting: number; readonly busy: number; readonly idle: number }
  }
  sessions(): Iterable<MeasuredSession>
}

/** Looks once a second at what the sessions of a thread have in hand. It is made where metrics are served. */
export class Gauges implements Timed {
  readonly #thread: MeasuredThread
  readonly #loop: LoopWatch
  readonly #timer = new Timer(this)

  constructor(thread: MeasuredThread) {
    this.#thread = thread
    this.#loop = new LoopWatch(thread.counters)
    this.timeUp()
  }

  timeUp(): void {
    this.#loop.look()
    this.#look()
    this.#thread.clock.set(this.#timer, LOOK_MS)
  }

  /** To be called when nothing is left: in the memory of this thread that stays. */
  stop(): void {
    this.#look()
    this.#loop.stop()
    this.#thread.clock.cancel(this.#timer)
  }

  #look(): void {
    const { counters, links, drivers } = this.#thread
    const now = performance.now()
    for (const family of BY_DRIVER) for (const driver of DRIVERS.keys()) counters.set(family, 0, driver)
    let [sessions, open, queued] = [0, 0, 0]
    for (const { record: { driver }, flow, client: { transport } } of this.#thread.sessions()) {
      counters.add(callsInFlight, flow.calls.size, driver)
      counters.add(callsWaiting, flow.waiting, driver)
      counters.add(registrations, flow.registrations.size, driver)
      const { oldest } = flow
      if (oldest > 0) counters.set(oldestCall, Math.max(now - oldest, counters.get(oldestCall, driver)), driver)
      sessions++
      open += flow.streams.size
      queued += transport.pending
    }
    counters.set(served, sessions)
    counters.set(streams, open)
    counters.set(queuedBytes, queued, SIDE.client)
    counters.set(queuedBytes, links.queued, SIDE.driver)
    const { guests, waiting, busy, idle } = drivers.figures
    counters.set(sharingClients, guests)
    counters.set(poolWaiting, waiting)
    counters.set(sharedConnections, busy, POOL_STATE.busy)
    counters.set(sharedConnections, idle, POOL_STATE.idle)
  }
}
