import { Timer, type Clock, type Timed } from '../base/clock.js'
import type { Counters } from '../thread/counters.js'
import { LoopWatch } from '../thread/loop-watch.js'
import { DIRECTION, DRIVERS, FAMILIES, POOL_STATE, SIDE } from '../thread/metric-families.js'

const LOOK_MS = 1000
const {
  bytes, callsInFlight, callsWaiting, oldestCall, poolWaiting, queuedBytes, registrations, served, sharedConnections, sharingClients,
  streams
} = FAMILIES
const BY_DRIVER = [callsInFlight, callsWaiting, oldestCall, registrations]

/** Bytes that have come, and that were to be sent. */
interface Moved {
  readonly bytesIn: number
  readonly bytesOut: number
}

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
  readonly client: { readonly transport: Moved & { readonly pending: number } }
}

/** What is looked at in a thread. */
export interface MeasuredThread {
  readonly clock: Clock
  readonly counters: Counters
  /** Connections to driver daemons. */
  readonly links: { readonly queued: number; readonly moved: Moved }
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
  /** By sessions that have ended, and by both sides in the time of threads before this one. */
  readonly #ended = { bytesIn: 0, bytesOut: 0 }
  readonly #before: Readonly<Record<'client' | 'driver', Moved>>

  constructor(thread: MeasuredThread) {
    this.#thread = thread
    this.#loop = new LoopWatch(thread.counters)
    const before = (side: number): Moved => ({
      bytesIn: thread.counters.get(bytes, side, DIRECTION.in), bytesOut: thread.counters.get(bytes, side, DIRECTION.out)
    })
    this.#before = { client: before(SIDE.client), driver: before(SIDE.driver) }
    this.timeUp()
  }

  /** To be called when it is no longer among the sessions. */
  ended({ client: { transport } }: MeasuredSession): void {
    this.#ended.bytesIn += transport.bytesIn
    this.#ended.bytesOut += transport.bytesOut
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

  #setBytes(side: number, before: Moved, since: Moved): void {
    this.#thread.counters.set(bytes, before.bytesIn + since.bytesIn, side, DIRECTION.in)
    this.#thread.counters.set(bytes, before.bytesOut + since.bytesOut, side, DIRECTION.out)
  }

  #look(): void {
    const { counters, links, drivers } = this.#thread
    const now = performance.now()
    for (const family of BY_DRIVER) for (const driver of DRIVERS.keys()) counters.set(family, 0, driver)
    let [sessions, open, queued] = [0, 0, 0]
    let { bytesIn, bytesOut } = this.#ended
    for (const { record: { driver }, flow, client: { transport } } of this.#thread.sessions()) {
      counters.add(callsInFlight, flow.calls.size, driver)
      counters.add(callsWaiting, flow.waiting, driver)
      counters.add(registrations, flow.registrations.size, driver)
      const { oldest } = flow
      if (oldest > 0) counters.set(oldestCall, Math.max(now - oldest, counters.get(oldestCall, driver)), driver)
      sessions++
      open += flow.streams.size
      queued += transport.pending
      bytesIn += transport.bytesIn
      bytesOut += transport.bytesOut
    }
    counters.set(served, sessions)
    counters.set(streams, open)
    counters.set(queuedBytes, queued, SIDE.client)
    counters.set(queuedBytes, links.queued, SIDE.driver)
    this.#setBytes(SIDE.client, this.#before.client, { bytesIn, bytesOut })
    this.#setBytes(SIDE.driver, this.#before.driver, links.moved)
    const { guests, waiting, busy, idle } = drivers.figures
    counters.set(sharingClients, guests)
    counters.set(poolWaiting, waiting)
    counters.set(sharedConnections, busy, POOL_STATE.busy)
    counters.set(sharedConnections, idle, POOL_STATE.idle)
  }
}
