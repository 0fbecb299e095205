import type { LogContext } from '../base/log.js'

/** A call that took long. */
export interface SlowCall {
  /** When it had its answer, in milliseconds since the epoch. */
  readonly at: number
  readonly about: LogContext
  /** One of DRIVERS. */
  readonly driver: string
  readonly procedure: string
  /** What it was about, as far as its arguments begin with that. A client has chosen it. */
  readonly object: string | undefined
  /** 0, or libvirt's number of the error that was answered. */
  readonly code: number
  /** Microseconds until its driver daemon was given it, and from then to the reply. */
  readonly queuedUs: number
  readonly driverUs: number
}
