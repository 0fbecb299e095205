import { procedureName } from '../../protocol/procedures.js'
import type { Clock } from '../base/clock.js'
import { LogLimit } from '../base/log-limit.js'
import { SOURCE, type Log } from '../base/log.js'
import { shown } from '../base/peer-names.js'
import { logContextOf, type ServedRecord } from '../thread/client-record.js'
import { DRIVERS } from '../thread/metric-families.js'
import type { SessionObserver, TimedCall } from '../thread/session-observer.js'
import type { SlowCall } from '../thread/slow-call.js'
import { callObject } from './call-object.js'
import { ObserverBetween } from './observer-between.js'

/** Of one procedure. */
const LINES_A_MINUTE = 10
/** What is kept of them is less. */
const TOLD_A_SECOND = 100
const SECOND_MS = 1000

/** Who is told of calls that took long. */
export interface SlowCallsOwner {
  readonly clock: Clock
  readonly settings: { readonly slowCallMs: number }
  readonly log: { readonly write: Log }
  /** For those who look at the last ones. */
  slowCall(call: SlowCall): void
}

/** Tells of calls that take long (`slow_call_ms`): a line in the log, and a record. */
export class SlowCalls extends ObserverBetween {
  readonly #owner: SlowCallsOwner
  readonly #lines: LogLimit
  #since = 0
  #told = 0

  /** `next`: who is told of the end of all calls all the same. */
  constructor(owner: SlowCallsOwner, next: SessionObserver | undefined) {
    super(next)
    this.#owner = owner
    this.#lines = new LogLimit(owner.clock, owner.log.write, LINES_A_MINUTE)
  }

  override get slowUs(): number {
    const { slowCallMs } = this.#owner.settings
    return slowCallMs > 0 ? 1000 * slowCallMs : Infinity
  }

  override slow(client: ServedRecord, call: TimedCall): void {
    super.slow(client, call)
    const { prog, proc, code, queued, atDriver, head } = call
    const procedure = procedureName(prog, proc)
    const object = head && callObject(prog, proc, head)
    const about = logContextOf(client)
    const seconds = (micros: number): string => (micros / 1e6).toFixed(3)
    const split = `${seconds(queued)} s in the broker, ${seconds(atDriver)} s with the driver daemon`
    const what = `${procedure}${object === undefined ? '' : ` '${shown(object)}'`}`
    const line = `slow call: ${what} took ${seconds(queued + atDriver)} s (${split})`
    this.#lines.write('slow-call', SOURCE.driver, line, () => about, procedure)
    if (!this.#mayTell()) return
    const driver = DRIVERS[client.driver]!
    this.#owner.slowCall({ at: Date.now(), about, driver, procedure, object, code, queuedUs: queued, driverUs: atDriver })
  }

  #mayTell(): boolean {
    const { now } = this.#owner.clock
    if (now - this.#since >= SECOND_MS) {
      this.#since = now
      this.#told = 0
    }
    return this.#told++ < TOLD_A_SECOND
  }
}
