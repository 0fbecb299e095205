import { Timer, type Clock, type Timed } from '../base/clock.js'
import { CallSketch } from '../observe/call-sketch.js'
import type { BusyClient, BusyReport } from '../thread/busy-report.js'
import type { FiguredSession } from '../thread/client-figures.js'
import type { SessionObserver } from '../thread/session-observer.js'

/** Nobody looks any more who has not asked for so long. */
const PATIENCE_MS = 10_000
/** Clients that are told of, and whose calls are timed until the next look. */
const MOST_CLIENTS = 64

/** A session as it is looked at. */
export interface BusySession extends FiguredSession {
  /** As Traceable has it. */
  observe(observer: SessionObserver | undefined): void
}

/** What a client had done by the last look. */
interface Done {
  readonly calls: number
  readonly bytesIn: number
  readonly bytesOut: number
}

const NOTHING: Done = { calls: 0, bytesIn: 0, bytesOut: 0 }

interface Sketched {
  readonly session: BusySession
  readonly sketch: CallSketch
}

/**
 * The clients of a thread that do most, for somebody who looks every few seconds. A look goes once through all clients;
 * without one nothing is kept of any, and none pays for it.
 */
export class BusyClients implements Timed {
  readonly #clock: Clock
  readonly #observer: () => SessionObserver | undefined
  readonly #patienceMs: number
  /** By the client's id. */
  #done = new Map<number, Done>()
  readonly #sketches = new Map<number, Sketched>()
  #lookedAt: number | undefined
  readonly #timer = new Timer(this)

  /** `observer`: the thread's own, as it is now. */
  constructor(clock: Clock, observer: () => SessionObserver | undefined, patienceMs = PATIENCE_MS) {
    this.#clock = clock
    this.#observer = observer
    this.#patienceMs = patienceMs
  }

  /** `traced`: whether a client's observer is another one already. */
  look(sessions: Iterable<BusySession>, traced: (id: number) => boolean): BusyReport {
    const now = performance.now()
    const ms = this.#lookedAt === undefined ? 0 : now - this.#lookedAt
    this.#lookedAt = now
    this.#clock.set(this.#timer, this.#patienceMs)
    const done = new Map<number, Done>()
    const busy: { session: BusySession; since: Done; calls: number }[] = []
    for (const session of sessions) {
      const { record: { id }, flow, client: { transport: { bytesIn, bytesOut } } } = session
      const { total } = flow.calls
      const since = ms === 0 ? { calls: total, bytesIn, bytesOut } : this.#done.get(id) ?? NOTHING
      done.set(id, { calls: total, bytesIn, bytesOut })
      const calls = total - since.calls
      if (calls > 0 || flow.calls.size + flow.waiting > 0 || bytesIn + bytesOut > since.bytesIn + since.bytesOut) {
        busy.push({ session, since, calls })
      }
    }
    this.#done = done
    busy.sort((one, other) => other.calls - one.calls)
    const told = busy.slice(0, MOST_CLIENTS)
    const clients = told.map(({ session, since, calls }): BusyClient => {
      const { record: { id }, flow, client: { transport: { bytesIn, bytesOut } } } = session
      return {
        id, calls, bytesIn: bytesIn - since.bytesIn, bytesOut: bytesOut - since.bytesOut,
        inFlight: flow.calls.size, waiting: flow.waiting, oldestMs: flow.oldest > 0 ? Math.round(now - flow.oldest) : undefined,
        p99Us: this.#sketches.get(id)?.sketch.takeP99()
      }
    })
    this.#sketch(told.map(({ session }) => session).filter(({ record: { id } }) => !traced(id)))
    return { ms, clients }
  }

  /** Another is to observe this client, or it has gone. */
  leave(id: number): void {
    const sketched = this.#sketches.get(id)
    if (sketched === undefined) return
    this.#sketches.delete(id)
    sketched.session.observe(undefined)
  }

  /** Nobody looks any more. */
  timeUp(): void {
    this.#lookedAt = undefined
    this.#done = new Map()
    for (const id of this.#sketches.keys()) this.leave(id)
  }

  #sketch(sessions: readonly BusySession[]): void {
    const wanted = new Set(sessions.map(({ record: { id } }) => id))
    for (const id of this.#sketches.keys()) if (!wanted.has(id)) this.leave(id)
    for (const session of sessions) {
      const { id } = session.record
      if (this.#sketches.has(id)) continue
      const sketch = new CallSketch(this.#observer())
      this.#sketches.set(id, { session, sketch })
      session.observe(sketch)
    }
  }
}
