import type { Clock } from '../base/clock.js'
import { LogLimit } from '../base/log-limit.js'
import { levelOf, SOURCE, type LogContext, type LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { OpeningLog } from '../driver/drivers.js'
import { describeIdentity } from '../policy/subject.js'
import { logContextOf, type ClientRecord } from '../thread/client-record.js'
import type { Counters } from '../thread/counters.js'
import { FAMILIES } from '../thread/metric-families.js'
import type { ThreadLog } from '../thread/services.js'
import type { RefusalLog } from './refusals.js'

/** A client that goes on calling what it may not call is told so each time, and the log is not. */
const DENIALS_LOGGED_A_MINUTE = 10

/** What it needs of its thread. */
export interface LogServices {
  readonly clock: Clock
  readonly log: ThreadLog
  readonly counters: Counters
}

/** What the log tells of one client: little while it is a stranger, and from then on each thing that happens to it. */
export class ClientLog implements OpeningLog, RefusalLog {
  readonly #record: ClientRecord
  readonly #services: LogServices
  /** It has logged in, or opened a connection where nobody has to log in. */
  #known = false
  #denials: LogLimit | undefined
  /** Socket of the driver daemon where its connection is, or was. */
  driver: string | undefined

  constructor(record: ClientRecord, services: LogServices) {
    this.#record = record
    this.#services = services
  }

  log(kind: LogKind, message: string, source: LogSource = SOURCE.client): void {
    const { log } = this.#services
    if (!log.hears(levelOf(kind))) return
    const write = this.#known ? log.write : log.strangers
    write(kind, source, message, () => this.#about(source))
  }

  /** For what this client can cause again and again: of such lines a few a minute are written for all clients. */
  logTrouble(kind: LogKind, message: string): void {
    this.#services.log.strangers(kind, SOURCE.driver, message, () => this.#about(SOURCE.driver))
  }

  denied(procedure: string): void {
    const { clock, log, counters } = this.#services
    this.#denials ??= new LogLimit(clock, log.write, DENIALS_LOGGED_A_MINUTE, () => counters.add(FAMILIES.logSuppressed, 1))
    const line = `policy: ${procedure} refused for ${describeIdentity(this.#record.identity)}`
    this.#denials.write('call-denied', SOURCE.access, line, () => this.#about(SOURCE.access), 'policy')
  }

  /** It is no stranger any more. */
  nowKnown(): void {
    if (this.#known) return
    this.#known = true
    if (!this.#services.log.hears('info')) return
    const { listener, identity } = this.#record
    const { transport, readonly, auth } = listener
    const by = `${transport}${readonly ? ', read-only' : ''}${auth === 'none' ? '' : `, ${auth}`}`
    this.log('info', `logged in: ${describeIdentity(identity)} (${by})`)
  }

  ended(why: string, kind: LogKind, calls: number): void {
    this.#denials?.close()
    const said = this.#known && kind === 'debug' ? 'info' : kind
    if (!this.#services.log.hears(levelOf(said))) return
    if (!this.#known) return this.log(said, `closed: ${why}`)
    const seconds = ((Date.now() - this.#record.since) / 1000).toFixed(1)
    this.log(said, `closed: ${why}; after ${seconds} s and ${calls} calls`)
  }

  #about(source: LogSource): LogContext {
    const about = logContextOf(this.#record)
    return source === SOURCE.driver ? { ...about, driver: this.driver } : about
  }
}
