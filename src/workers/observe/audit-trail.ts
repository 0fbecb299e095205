import type { Audited, AuditedCall, AuditProduct, ThreadAudit } from '../thread/audit.js'
import type { AuditWindow } from '../thread/audit-window.js'
import { callLine, operationOf } from './audit-record.js'

/** What one thread may have with its supervisor that is not written: what comes beyond that is lost, and counted. */
export const MOST_UNCONFIRMED_BYTES = 1024 * 1024
/**
 * Where no call may be without its record, those of so many calls may still come when there is no room any more: they are
 * kept all the same, 16 MiB at worst. No client has more of them than are left for the others.
 */
const MOST_PROMISED = 4096

export interface AuditSettings {
  readonly auditReads: boolean
  readonly auditFailClosed: boolean
}

/** The records of one thread, on their way to its supervisor. */
export class AuditTrail implements ThreadAudit {
  readonly #window: AuditWindow
  readonly #product: AuditProduct
  readonly #settings: () => AuditSettings
  readonly #ready: () => void
  #lines: string[] = []
  /** Bytes that were ever given out, modulo 2³². */
  #given = 0
  /** Records that will come. */
  #promised = 0

  /** `ready`: there is something to `take`. */
  constructor(window: AuditWindow, product: AuditProduct, settings: () => AuditSettings, ready: () => void) {
    this.#window = window
    this.#product = product
    this.#settings = settings
    this.#ready = ready
  }

  get reads(): boolean {
    return this.#settings().auditReads
  }

  takes(promised: number): boolean {
    if (!this.#settings().auditFailClosed) return true
    return !this.#window.failing && this.#hasRoom(0) && promised < MOST_PROMISED - this.#promised
  }

  promise(): void {
    this.#promised++
  }

  write(client: Audited, call: AuditedCall, promised: boolean): void {
    if (promised) this.#promised--
    const isOwed = promised && this.#settings().auditFailClosed
    const line = callLine(this.#product, client, operationOf(call.prog, call.proc), call)
    const bytes = Buffer.byteLength(line) + 1
    if (!isOwed && !this.#hasRoom(bytes)) return this.#window.drop()
    this.#given = (this.#given + bytes) | 0
    this.#lines.push(line)
    if (this.#lines.length === 1) this.#ready()
  }

  /** What has been written since the last time. */
  take(): readonly string[] {
    const lines = this.#lines
    if (lines.length > 0) this.#lines = []
    return lines
  }

  #hasRoom(bytes: number): boolean {
    return ((this.#given - this.#window.confirmed) | 0) + bytes <= MOST_UNCONFIRMED_BYTES
  }
}
