import { Timer, type Clock, type Timed } from '../base/clock.js'
import { CallTrace } from '../observe/call-trace.js'
import type { CallTable } from '../session/call-table.js'
import type { SessionObserver } from '../thread/session-observer.js'
import type { CallInFlight, TraceAnswer } from '../thread/trace-report.js'

/** Nobody looks any more who has not asked for so long. */
const PATIENCE_MS = 10_000
/** Each costs a thread some 60 kB. */
const MOST_TRACES = 16
const MOST_IN_FLIGHT = 16

/** A client whose calls can be watched. */
export interface Traceable {
  /** Who is told of its calls instead of the thread's own observer; undefined: that one again. */
  observe(observer: SessionObserver | undefined): void
  readonly flow: { readonly calls: CallTable; readonly waiting: number }
}

/** The traces of a thread's clients. A client that nobody looks at pays nothing for them. */
export class Traces {
  readonly #clock: Clock
  /** By the client's id. */
  readonly #traces = new Map<number, Trace>()

  constructor(
    clock: Clock,
    /** The thread's own, as it is now. */
    readonly observer: () => SessionObserver | undefined,
    readonly patienceMs = PATIENCE_MS
  ) {
    this.#clock = clock
  }

  get size(): number {
    return this.#traces.size
  }

  has(id: number): boolean {
    return this.#traces.has(id)
  }

  /**
   * What has come since the last time; begins the trace, if there is none. `by`: who asks; a client is traced for one at a
   * time. Undefined: there is no such client.
   */
  report(id: number, by: number, client: Traceable | undefined): TraceAnswer | undefined {
    let trace = this.#traces.get(id)
    if (trace !== undefined && trace.by !== by) return { refused: `client ${id} is traced by somebody else` }
    const began = trace === undefined
    if (trace === undefined) {
      if (client === undefined) return undefined
      if (this.#traces.size >= MOST_TRACES) return { refused: `${MOST_TRACES} clients of its thread are traced already` }
      trace = new Trace(by, client, new CallTrace(this.observer()), () => this.#end(id))
      this.#traces.set(id, trace)
      client.observe(trace.calls)
    }
    this.#clock.set(trace.timer, this.patienceMs)
    const { over, client: { flow: { calls, waiting } } } = trace
    const current = over === undefined ? { inFlight: inFlight(calls), allInFlight: calls.size, waiting } : NOTHING
    const report = { began, ...trace.calls.fetch(), ...current, over }
    if (over !== undefined) this.#end(id)
    return report
  }

  /** A client has gone. What is known of its last calls is kept for whoever watches. */
  ended(id: number, why: string): void {
    const trace = this.#traces.get(id)
    if (trace !== undefined) trace.over = why
  }

  close(): void {
    for (const id of this.#traces.keys()) this.#end(id)
  }

  #end(id: number): void {
    const trace = this.#traces.get(id)
    if (trace === undefined) return
    this.#traces.delete(id)
    this.#clock.cancel(trace.timer)
    if (trace.over === undefined) trace.client.observe(undefined)
  }
}

const NOTHING = { inFlight: [], allInFlight: 0, waiting: 0 }

class Trace implements Timed {
  readonly timer = new Timer(this)
  /** Why its client has gone, if so. */
  over: string | undefined

  constructor(
    readonly by: number,
    readonly client: Traceable,
    readonly calls: CallTrace,
    readonly timeUp: () => void
  ) {}
}

function inFlight(calls: CallTable): CallInFlight[] {
  const found: CallInFlight[] = []
  if (calls.size === 0) return found
  const now = performance.now()
  for (let place = 0; place >= 0 && found.length < MOST_IN_FLIGHT; place = calls.after(place)) {
    const given = calls.givenAt(place)
    found.push({ prog: calls.programAt(place), proc: calls.procedureAt(place), ms: given === 0 ? undefined : Math.round(now - given) })
  }
  return found
}
