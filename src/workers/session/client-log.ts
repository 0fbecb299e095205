import type { Identity } from '../../protocol/identity.js'
import type { Clock } from '../base/clock.js'
import { LogLimit } from '../base/log-limit.js'
import { SOURCE, type LogContext, type LogLevel, type LogSource } from '../base/log.js'
import type { OpeningLog } from '../driver/drivers.js'
import { describeIdentity } from '../policy/subject.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { ThreadLog } from '../thread/services.js'
import type { RefusalLog } from './refusals.js'

/** A client that goes on calling what it may not call is told so each time, and the log is not. */
const DENIALS_LOGGED_A_MINUTE = 10

/** What the log tells of one client: little while it is a stranger, and from then on each thing that happens to it. */
export class ClientLog implements OpeningLog, RefusalLog {
  readonly #record: ClientRecord
  readonly #services: { readonly clock: Clock; readonly log: ThreadLog }
  readonly #about: LogContext
  /** It has logged in, or opened a connection where nobody has to log in. */
  #known = false
  #denials: LogLimit | undefined

  constructor(record: ClientRecord, services: { readonly clock: Clock; readonly log: ThreadLog }) {
    this.#record = record
    this.#services = services
    this.#about = { client: { id: record.id, from: record.peer ?? processOf(record.identity) } }
  }

  log(level: LogLevel, message: string, source: LogSource = SOURCE.client): void {
    const { log } = this.#services
    const write = this.#known ? log.write : log.strangers
    write(level, source, message, this.#about)
  }

  /** For what this client can cause again and again: of such lines a few a minute are written for all clients. */
  logTrouble(level: LogLevel, message: string): void {
    this.#services.log.strangers(level, SOURCE.driver, message, this.#about)
  }

  denied(procedure: string): void {
    const { clock, log } = this.#services
    this.#denials ??= new LogLimit(clock, log.write, DENIALS_LOGGED_A_MINUTE)
    const line = `policy: ${procedure} refused for ${describeIdentity(this.#record.identity)}`
    this.#denials.write('warning', SOURCE.access, line, this.#about, 'policy')
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

  ended(why: string, level: LogLevel, calls: number): void {
    this.#denials?.close()
    const said = this.#known && level === 'debug' ? 'info' : level
    if (!this.#services.log.hears(said)) return
    if (!this.#known) return this.log(said, `closed: ${why}`)
    const seconds = ((Date.now() - this.#record.since) / 1000).toFixed(1)
    this.log(said, `closed: ${why}; after ${seconds} s and ${calls} calls`)
  }
}

const processOf = ({ userId, processId }: Identity): string | undefined =>
  userId === undefined ? undefined : `uid ${userId}, pid ${processId ?? -1}`
