import { ulid } from '../../workers/base/ulid.js'
import type { AuditProduct } from '../../workers/thread/audit.js'
import { AuditWindow, bytesOf } from '../../workers/thread/audit-window.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'
import type { Counters } from '../../workers/thread/counters.js'
import { auditPlaceText, type AuditPlace } from '../config/audit-place.js'
import { version } from '../config/version.js'
import type { AuditLogger } from './audit-log.js'
import type { Audit, OpenedAudit } from './make-audit.js'

/** Another place for records. */
export interface PreparedAudit {
  /** `there`: the clients that are in now. */
  use(there: Iterable<ClientRecord>): void
  drop(): void
}

const AS_IT_IS: PreparedAudit = { use: () => undefined, drop: () => undefined }

/** The audit as the settings have it, which may be none: where all threads have their records written. */
export class AuditInUse {
  readonly product: AuditProduct = { version, run: ulid(Date.now()) }
  readonly #logger: AuditLogger
  readonly #counters: Counters
  /** Of each thread, and the supervisor's own. */
  readonly #windows = new Set<AuditWindow>()
  #place: AuditPlace | undefined
  #audit: Audit | undefined
  /** Of those before. */
  #ending: Promise<unknown> = Promise.resolve()

  constructor(logger: AuditLogger, counters: Counters) {
    this.#logger = logger
    this.#counters = counters
  }

  /** Undefined where there is none. */
  get records(): Pick<Audit, 'sessions' | 'admin'> | undefined {
    return this.#audit
  }

  /** For a thread that begins. */
  join(): AuditWindow {
    const window = new AuditWindow()
    window.failing = this.#audit?.log.failing ?? false
    this.#windows.add(window)
    return window
  }

  /** It has ended. */
  leave(window: AuditWindow): void {
    this.#windows.delete(window)
    this.#audit?.log.countLost(window)
  }

  /** Lines of a thread. */
  take(lines: readonly string[], from: AuditWindow): void {
    if (this.#audit !== undefined) return this.#audit.log.take(lines, from)
    // Of clients that were there when it was switched off.
    from.confirm(bytesOf(lines))
  }

  /** Rejects with StartupError if the place cannot be opened. */
  async prepare(place: AuditPlace | undefined): Promise<PreparedAudit> {
    if (textOf(place) === textOf(this.#place)) return AS_IT_IS
    const opened = place && (await open(place))
    const use = (there: Iterable<ClientRecord>): void => {
      const old = this.#audit
      this.#place = place
      this.#audit = opened?.begin(this.product, this.#windows, this.#logger, this.#counters)
      this.#audit?.sessions.wereIn(there)
      for (const window of this.#windows) window.failing = false
      if (old !== undefined) this.#ending = Promise.all([this.#ending, end(old)])
    }
    return { use, drop: () => opened?.close() }
  }

  /** For a file that was renamed. */
  async reopen(): Promise<void> {
    await this.#audit?.log.reopen()
  }

  /** Writes what there is, for a while. */
  async close(): Promise<void> {
    if (this.#audit !== undefined) await end(this.#audit)
    await this.#ending
  }
}

function end({ sessions, log }: Audit): Promise<void> {
  sessions.end()
  return log.close()
}

async function open(place: AuditPlace): Promise<OpenedAudit> {
  // By itself: where it is off nothing of it is loaded.
  const { openAudit } = await import('./make-audit.js')
  return openAudit(place)
}

const textOf = (place: AuditPlace | undefined): string => (place === undefined ? '' : auditPlaceText(place))
