import { ACTIVITY } from '../../protocol/audited-calls.js'
import type { Named } from '../../protocol/call-object.js'
import type { RemoteError } from '../../protocol/errors.js'
import { callLine } from '../../workers/observe/audit-record.js'
import type { Audited, AuditProduct } from '../../workers/thread/audit.js'

/** What an administrator has changed, or wanted to. */
export interface AdminDeed {
  readonly operation: string
  readonly named: Named
  /** The values that were asked for, if there are any. */
  readonly request: string | undefined
  /** Milliseconds since the epoch, and how long it took in microseconds. */
  readonly time: number
  readonly micros: number
  readonly error: RemoteError | undefined
}

/** Told of each call at the admin socket that changes something. */
export interface AdminWatcher {
  did(client: Audited, deed: AdminDeed): void
}

/** Tells what administrators have changed. */
export class AdminRecords implements AdminWatcher {
  readonly #product: AuditProduct
  readonly #write: (line: string) => void

  constructor(product: AuditProduct, write: (line: string) => void) {
    this.#product = product
    this.#write = write
  }

  did(client: Audited, { operation: name, named, request, time, micros, error }: AdminDeed): void {
    this.#write(callLine(this.#product, client, { name, activity: ACTIVITY.update, access: '' }, {
      named, request, time, micros, serial: undefined, driver: 'admin', readonly: false,
      end: error === undefined ? 'ok' : 'error', code: error?.code ?? 0, detail: error?.message
    }))
  }
}
