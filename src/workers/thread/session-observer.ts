import type { RemoteError } from '../../protocol/errors.js'
import type { ServedRecord } from './client-record.js'
import type { CallOutcome } from './metric-families.js'

/** In the place of an error's number: the client or its driver daemon went away before the reply. */
export const LOST = -1
/** The daemon that had it was given up: it did not answer pings either. */
export const TIMED_OUT = -2

/** How a call has ended of which an observer is told `code`. */
export const outcomeOf = (code: number): Exclude<CallOutcome, 'refused'> =>
  (code === 0 ? 'ok' : code > 0 ? 'error' : code === LOST ? 'lost' : 'timeout')

/** A call that a driver daemon has answered. */
export interface TimedCall {
  readonly prog: number
  readonly proc: number
  /** As in `answered`, and so are the times. */
  readonly code: number
  readonly queued: number
  readonly atDriver: number
  /** The first bytes of its arguments, if it had come whole. */
  readonly head: Buffer | undefined
}

/**
 * Who is told of what happens to the clients of a thread. Where nobody is, there is none, which costs a branch a call. It
 * is called on the way of every call: it must not allocate, nor throw.
 */
export interface SessionObserver {
  /** Whether calls are stamped: their times are 0 otherwise. It never changes. */
  readonly timing: boolean
  /** Whether calls are told of by `begun` too. It never changes. */
  readonly starts: boolean
  /** A client has come to its session, or something has changed in its record. */
  changed(client: ServedRecord): void
  /** A call has come that is for the driver daemon: it has it now, or waits. Only where calls are stamped. */
  begun(client: ServedRecord, prog: number, proc: number, serial: number): void
  /**
   * A call has its answer, from the driver daemon or from the broker itself, or there will be none. `code`: 0, or libvirt's
   * number of the error that was answered, LOST or TIMED_OUT. `queued`: microseconds until the daemon was given it; `atDriver`: from
   * then to the reply; both 0 of what the broker has answered, and of what was lost before the daemon had it.
   */
  answered(
    client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number, serial: number
  ): void
  /** Calls that took so many microseconds at least are told of by `slow` too, where calls are stamped. */
  readonly slowUs: number
  slow(client: ServedRecord, call: TimedCall): void
  /** No daemon was given the call. */
  refused(client: ServedRecord, prog: number, proc: number, why: RemoteError, serial: number): void
}
