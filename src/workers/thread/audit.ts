import type { Named } from '../../protocol/call-object.js'
import type { ClientRecord } from './client-record.js'

/** Of a client: what a record tells of who it is. */
export type Audited = Pick<ClientRecord, 'id' | 'since' | 'listener' | 'peer' | 'via' | 'identity'>

/** How a call ended. `refused`: by the broker. `none`: its client or its driver daemon went away first. */
export type CallEnd = 'ok' | 'error' | 'refused' | 'none'

/** One call, as the audit records it. */
export interface AuditedCall {
  readonly prog: number
  readonly proc: number
  /** Undefined at the admin socket. */
  readonly serial: number | undefined
  readonly named: Named
  readonly end: CallEnd
  /** libvirt's number of the error; 0 if there was none. */
  readonly code: number
  /** Why the broker refused it, or there was no answer. */
  readonly detail: string | undefined
  /** When it came, in milliseconds since the epoch, and how long it took, in microseconds. */
  readonly time: number
  readonly micros: number
  /** What the client has open, and whether read-only. */
  readonly driver: string
  readonly readonly: boolean
  /** It stands for so many. */
  readonly count?: number | undefined
  /** Values that an administrator has asked for. */
  readonly request?: string | undefined
}

/** Where a thread's records go. It never waits, and never throws. */
export interface ThreadAudit {
  /**
   * Whether a call that changes something may go on: there will be a record of it, or there need not be. `promised`: how many
   * records of its client will come already.
   */
  takes(promised: number): boolean
  /** Whether calls that only read are recorded. */
  readonly reads: boolean
  /** A record of a call that changes something will come. */
  promise(): void
  /** `promised`: it is one of those. */
  write(client: Audited, call: AuditedCall, promised: boolean): void
}

/** What a thread needs for its records. */
export interface AuditTask {
  /** See AuditWindow. */
  readonly window: SharedArrayBuffer
  /** What a record says of the broker. */
  readonly product: AuditProduct
}

/** `run`: different each time the broker starts, because numbers of clients begin anew then. */
export interface AuditProduct {
  readonly version: string
  readonly run: string
}
