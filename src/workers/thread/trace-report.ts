import type { CallOutcome } from './metric-families.js'

/** A call that has ended. */
export interface TracedCall {
  /** When, in milliseconds since the epoch. */
  readonly at: number
  readonly prog: number
  readonly proc: number
  /** `refused`: no daemon was given it. */
  readonly outcome: CallOutcome
  /** libvirt's number of the error, if it is one. */
  readonly code: number | undefined
  /** Of what the broker has refused. */
  readonly message: string | undefined
  /** In microseconds: until the driver daemon was given it, and from then on; undefined where the broker has answered. */
  readonly queuedUs?: number
  readonly driverUs?: number
}

/** A call that its driver daemon has and has not answered. */
export interface CallInFlight {
  readonly prog: number
  readonly proc: number
  /** Since the daemon was given it; undefined if that was before the trace began. */
  readonly ms: number | undefined
}

/** What a trace has to tell since it was asked last. */
export interface TraceReport {
  /** The trace begins with this, or anew: for a while nobody has asked. */
  readonly began: boolean
  readonly calls: readonly TracedCall[]
  /** Calls before these that were too many to be kept. */
  readonly dropped: number
  /** Some of those that are not answered, and how many there are; and how many have not been given to the daemon. */
  readonly inFlight: readonly CallInFlight[]
  readonly allInFlight: number
  readonly waiting: number
  /** Why the client has gone, if it has: there is nothing to come. */
  readonly over: string | undefined
}

/** A report, or why there is none. */
export type TraceAnswer = TraceReport | { readonly refused: string }
