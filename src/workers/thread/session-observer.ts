import type { RemoteError } from '../../protocol/errors.js'
import type { ClientRecord } from './client-record.js'

/**
 * Who is told of what happens to the clients of a thread. Where nobody is, there is none, which costs a branch a call. It
 * is called on the way of every call: it must not allocate, nor throw.
 */
export interface SessionObserver {
  /** Whether calls are stamped: their times are 0 otherwise. It never changes. */
  readonly timing: boolean
  /** A client has come to its session, or something has changed in its record. */
  changed(client: ClientRecord): void
  /**
   * A call has its answer, from the driver daemon or from the broker itself. `queued`: microseconds until the daemon was
   * given it; `atDriver`: from then to the reply.
   */
  answered(client: ClientRecord, prog: number, proc: number, status: number, queued: number, atDriver: number): void
  /** No daemon was given the call. */
  refused(client: ClientRecord, prog: number, proc: number, why: RemoteError): void
}
