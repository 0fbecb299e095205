import type { BrokerCalls, BrokerSlowCall } from '../../protocol/messages/broker-admin.js'

/**
 * What the page is told, as JSON, each time that it asks. What counts up does so from the start of the broker: what has
 * happened between two answers is left to whoever has both. Undefined members are left out.
 */
export interface LiveState {
  /** In milliseconds since the epoch; and of a clock that nobody sets. */
  readonly now: number
  readonly clock: number
  /** Upper bounds of the buckets of durations, in microseconds; above them there is one more. */
  readonly latencyBuckets: readonly number[]
  readonly broker: LiveBroker
  readonly clients: LiveClients
  /** Calls that have ended; undefined if no thread has counted one. */
  readonly calls: BrokerCalls | undefined
  readonly drivers: readonly LiveDriver[]
  readonly pool: LivePool
  readonly procedures: readonly LiveProcedure[]
  readonly threads: readonly LiveThread[]
  /** Connections, logins and calls, by the reason. */
  readonly refusals: Readonly<Record<string, number>>
  readonly slow: { readonly ms: number; readonly calls: readonly BrokerSlowCall[] }
  readonly certificates: readonly LiveCertificate[]
  readonly limits: readonly LiveLimit[]
  readonly table: ClientTable
}

export interface LiveBroker {
  readonly host: string
  readonly version: string
  readonly pid: number
  readonly state: string
  readonly since: number
  /** Why it should be given no clients now. */
  readonly notReady: readonly string[]
  /** Why the configuration could not be loaded anew, if that was so the last time. */
  readonly refused: string | undefined
  readonly residentBytes: number
}

export interface LiveClients {
  readonly total: number
  readonly unauthenticated: number
  readonly byTransport: Readonly<Record<string, number>>
}

/** Of what clients have opened with that scheme; `none`: of those that have opened nothing. */
export interface LiveDriver {
  readonly name: string
  /** Whether its daemon listens; undefined where nobody can say. */
  readonly up: boolean | undefined
  readonly clients: number
  readonly calls: BrokerCalls
  readonly inFlight: number
  readonly waiting: number
  readonly oldestMs: number
  /** Of calls that its daemon has answered, in the buckets above. */
  readonly durations: readonly number[]
}

export interface LivePool {
  /** Connections to driver daemons, and those of them that clients share, with calls out and without. */
  readonly connections: number
  readonly busy: number
  readonly idle: number
  readonly clients: number
  readonly waiting: number
}

export interface LiveProcedure {
  readonly procedure: string
  readonly driver: string
  readonly calls: number
  /** Those that a daemon has answered, and how long they took together. */
  readonly timed: number
  readonly totalUs: number
}

export interface LiveThread {
  /** Undefined: the supervisor. */
  readonly number: number | undefined
  readonly clients: number
  readonly stuck: boolean
  /** Share of the last second for which its loop was busy, and how late that was within the last minute, in milliseconds. */
  readonly utilization: number
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

export interface LiveCertificate {
  readonly role: string
  readonly subject: string
  /** In milliseconds since the epoch. */
  readonly from: number
  readonly to: number
}

/** Something of which there is an amount, with how much there may be; 0 is no limit. */
export interface LiveLimit {
  readonly name: string
  readonly used: number
  readonly most: number
}

export interface ClientTable {
  readonly rows: readonly ClientRow[]
  /** How many clients there are of whom the filter lets some be shown. */
  readonly matching: number
}

export interface ClientRow {
  readonly id: number
  readonly since: number
  readonly user: string | undefined
  readonly address: string | undefined
  readonly transport: string
  readonly readonly: boolean
  readonly driver: string | undefined
  readonly state: string
  readonly thread: number
  /** Undefined while its session has not begun, or where its thread does not answer in time. */
  readonly activity: ClientActivity | undefined
}

export interface ClientActivity {
  readonly inFlight: number
  readonly waiting: number
  readonly oldestMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly perSecond: { readonly calls: number; readonly in: number; readonly out: number } | undefined
}
