/** What a client has done since somebody looked last, and what it has in hand. */
export interface BusyClient {
  readonly id: number
  /** Calls that its driver daemon was given. */
  readonly calls: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** With the daemon, and not given to it yet. */
  readonly inFlight: number
  readonly waiting: number
  /** How long ago the oldest of both came; undefined if there is none, or where nobody knows. */
  readonly oldestMs: number | undefined
  /** 99 of 100 of its calls took less, from their arrival to the reply; undefined where that is not known. */
  readonly p99Us: number | undefined
}

export interface BusyReport {
  /** Since when: milliseconds. 0: nobody has looked before, and nothing is known yet. */
  readonly ms: number
  /** Those with most calls, the busiest first. */
  readonly clients: readonly BusyClient[]
}
