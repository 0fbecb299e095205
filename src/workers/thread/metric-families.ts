/**
 * What the threads count for the metrics page, and where it stands in the memory of a thread. All labels are of closed
 * lists: nothing that a peer chooses makes the page longer.
 */

import { PROGRAM } from '../../protocol/header.js'

type Values = readonly string[]
type Labels = Readonly<Record<string, Values>>

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** At most two. The first one's values stand furthest apart. */
  readonly labels: Labels
  /** What of several threads is told: all together, the largest, or each, with its place; `loops`: and the supervisor's. */
  readonly across: 'sum' | 'max' | 'each' | 'loops'
  /** What one unit of the memory is on the page. */
  readonly unit: number
  /** Index of its first word, of one combination of labels behind another, and of one value of the first label. */
  readonly at: number
  readonly step: number
  readonly row: number
}

/** Drivers by the scheme of what a client has opened. `none`: nothing is open. */
export const DRIVERS = [
  'none', 'qemu', 'lxc', 'xen', 'ch', 'bhyve', 'vbox', 'vz', 'test', 'network', 'storage', 'nodedev', 'secret', 'nwfilter',
  'interface', 'other'
] as const
export const NO_DRIVER = 0
const OTHER_DRIVER = DRIVERS.indexOf('other')

/** The index of a driver, of a URI or a scheme. */
export function driverOf(uri: string): number {
  const end = uri.search(/[:+]/)
  const index = DRIVERS.indexOf((end < 0 ? uri : uri.slice(0, end)) as (typeof DRIVERS)[number])
  return index <= NO_DRIVER ? OTHER_DRIVER : index
}

export const PRIORITIES = ['low', 'high'] as const
/** How a call ended. `lost`: its client or its driver daemon went away first; `timeout`: the daemon did not answer pings either. */
export const OUTCOMES = ['ok', 'error', 'refused', 'lost', 'timeout'] as const
export type CallOutcome = (typeof OUTCOMES)[number]
export const OUTCOME = { ok: 0, error: 1, refused: 2, lost: 3, timeout: 4 } as const

/** Upper bounds of the buckets of a histogram, in microseconds; above them there is one more. */
export const BUCKETS = [
  50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
  10_000_000, 30_000_000, 60_000_000, 300_000_000
] as const
/** The buckets, each with what is in it alone, and the sum of all that was observed. */
export const HISTOGRAM_WORDS = BUCKETS.length + 2

/** libvirt's error numbers; those that it does not have yet are counted together, under 0. */
const ERROR_CODES = Array.from({ length: 128 }, (_, code) => (code === 0 ? 'other' : String(code)))
const MICROSECONDS = 1e-6
const MILLISECONDS = 1e-3

/** Whose connection. */
const SIDES = ['client', 'driver'] as const
export const SIDE = { client: 0, driver: 1 } as const
const DIRECTIONS = ['in', 'out'] as const
export const DIRECTION = { in: 0, out: 1 } as const
export const TRANSPORTS = ['unix', 'tcp', 'tls'] as const
/** By the listener: whether it is the read-only one. */
export const ACCESS = ['rw', 'ro'] as const
export const AUTH_METHODS = ['polkit', 'sasl'] as const
export const LOGIN_OUTCOMES = ['ok', 'refused'] as const
export const TLS_VERSIONS = ['TLSv1.3', 'TLSv1.2', 'unknown'] as const
/** `refused`: the certificate does not let the client in; `gone`: it went away; `cut_off`: we closed it, because it took too long, say. */
export const HANDSHAKE_OUTCOMES = ['ok', 'failed', 'refused', 'gone', 'cut_off'] as const
export type HandshakeOutcome = (typeof HANDSHAKE_OUTCOMES)[number]
/** `absent`: nobody listens there. */
export const CONNECT_OUTCOMES = ['ok', 'absent', 'late', 'failed', 'given_up'] as const
export type ConnectOutcome = (typeof CONNECT_OUTCOMES)[number]
export const RECONNECT_OUTCOMES = ['ok', 'failed'] as const
const KEEPALIVE_RESULTS = ['answered', 'missed', 'would_have_starved'] as const
export const KEEPALIVE_RESULT = { answered: 0, missed: 1, wouldHaveStarved: 2 } as const
/** Where records of the audit go. */
export const AUDIT_SINKS = ['file', 'journald', 'unix'] as const
export const REFUSALS = [
  'max_clients', 'anonymous', 'per_identity', 'descriptor', 'memory', 'tls', 'auth', 'policy', 'read_only', 'proxy_header'
] as const
export type Refusal = (typeof REFUSALS)[number]
/** Why a connection has ended. */
export const ENDS = [
  'client', 'login', 'tls', 'silent', 'stalled', 'violation', 'resources', 'driver', 'displaced', 'administrator', 'stop',
  'thread', 'failure'
] as const
export const LOG_SUPPRESSED = ['limited', 'repeated', 'lost'] as const
const POOL_STATES = ['busy', 'idle'] as const
export const POOL_STATE = { busy: 0, idle: 1 } as const
/** What a call binds, see `Binds`; `long`: it is too long to be kept until it is whole. */
export const PROMOTIONS = [
  'stream', 'descriptors', 'registration', 'autodestroy', 'migration', 'descriptorGroup', 'unknown', 'long'
] as const
export type Promotion = (typeof PROMOTIONS)[number]
const DELAYS = ['p50', 'p99', 'max'] as const

let words = 0

type Rest = Partial<Pick<Family, 'across' | 'unit'>>

function family(name: string, help: string, type: Family['type'], labels: Labels, rest: Rest = {}): Family {
  const [first = [], second = []] = Object.values(labels)
  const step = type === 'histogram' ? HISTOGRAM_WORDS : 1
  const row = step * Math.max(1, second.length)
  const at = words
  words += row * Math.max(1, first.length)
  return { name, help, type, labels, across: 'sum', unit: type === 'histogram' ? MICROSECONDS : 1, ...rest, at, step, row }
}

const counter = (name: string, help: string, labels: Labels = {}, unit = 1): Family => family(name, help, 'counter', labels, { unit })
const gauge = (name: string, help: string, labels: Labels = {}, rest: Rest = {}): Family => family(name, help, 'gauge', labels, rest)
const histogram = (name: string, help: string, labels: Labels): Family => family(name, help, 'histogram', labels)

export const FAMILIES = {
  callErrors: counter(
    'call_errors_total', 'Calls that a driver daemon answered with an error, by libvirt\'s number of the error.',
    { driver: DRIVERS, code: ERROR_CODES }
  ),
  callQueue: histogram(
    'call_queue_seconds', 'Time of calls in the broker, from their arrival until their driver daemon was given them.',
    { driver: DRIVERS, priority: PRIORITIES }
  ),
  callDriver: histogram(
    'call_driver_seconds', 'Time of calls with their driver daemon, until the header of the reply.',
    { driver: DRIVERS, priority: PRIORITIES }
  ),
  callsInFlight: gauge('calls_in_flight', 'Calls that a driver daemon has and has not answered.', { driver: DRIVERS }),
  callsWaiting: gauge('calls_waiting', 'Calls that no driver daemon has been given yet.', { driver: DRIVERS }),
  oldestCall: gauge(
    'oldest_call_seconds', 'How long ago the oldest call came that is not answered.', { driver: DRIVERS },
    { across: 'max', unit: MILLISECONDS }
  ),
  events: counter('events_total', 'Events of driver daemons.', { driver: DRIVERS }),
  registrations: gauge('event_registrations', 'Registrations for events.', { driver: DRIVERS }),
  streams: gauge('streams', 'Open streams.'),
  streamBytes: counter('stream_bytes_total', 'Bytes in packets of streams.', { direction: DIRECTIONS }),
  bytes: counter(
    'bytes_total', 'Bytes that have come and gone, without those of TLS itself.', { side: SIDES, direction: DIRECTIONS }
  ),
  queuedBytes: gauge('queued_bytes', 'Bytes that their receiver has not taken yet.', { side: SIDES }),
  backpressure: counter(
    'backpressure_seconds_total', 'Time for which clients were not read, by who had to take something first.', { side: SIDES }, MILLISECONDS
  ),
  connections: counter('client_connections_total', 'Connections of clients that were taken.', { transport: TRANSPORTS, access: ACCESS }),
  disconnects: counter('client_disconnects_total', 'Clients that have gone.', { transport: TRANSPORTS, reason: ENDS }),
  refusals: counter('refusals_total', 'Connections, logins and calls that were refused.', { reason: REFUSALS }),
  logins: counter('auth_total', 'Answers to logins.', { method: AUTH_METHODS, outcome: LOGIN_OUTCOMES }),
  loginTime: histogram('auth_duration_seconds', 'Time of logins that succeeded, from their first call.', { method: AUTH_METHODS }),
  handshakes: counter('tls_handshakes_total', 'TLS handshakes that are over.', { version: TLS_VERSIONS, outcome: HANDSHAKE_OUTCOMES }),
  handshakeTime: histogram('tls_handshake_duration_seconds', 'Time of TLS handshakes that succeeded.', { version: TLS_VERSIONS }),
  keepalive: counter(
    'keepalive_total', 'Pings of peers that were answered, our own that were not, and those that libvirtd would have left waiting.',
    { side: SIDES, result: KEEPALIVE_RESULTS }
  ),
  driverConnects: counter('driver_connects_total', 'Connections to driver daemons.', { driver: DRIVERS, outcome: CONNECT_OUTCOMES }),
  driverConnectTime: histogram('driver_connect_seconds', 'Time until a name was open at its driver daemon.', { driver: DRIVERS }),
  driverReconnects: counter(
    'driver_reconnects_total', 'Attempts to reconnect a client to its driver daemon.', { driver: DRIVERS, outcome: RECONNECT_OUTCOMES }
  ),
  logSuppressed: counter('log_suppressed_total', 'Lines of the log that were not written.', { reason: LOG_SUPPRESSED }),
  sharedConnections: gauge(
    'pool_connections', 'Shared connections to driver daemons, with calls out or idle.', { state: POOL_STATES }
  ),
  sharingClients: gauge('pool_clients', 'Clients that share connections to driver daemons.'),
  poolWaiting: gauge('pool_clients_waiting', 'Those of them with calls for which there is no room.'),
  promotions: counter(
    'pool_own_connections_total', 'Connections that were opened for one of them alone, by what its call would have left behind.',
    { reason: PROMOTIONS }
  ),
  joinedCalls: counter('pool_joined_calls_total', 'Calls of theirs that were answered with the reply to the same call of another.'),
  threadDeaths: counter('actor_restarts_total', 'Threads that have died and were replaced.'),
  served: gauge('actor_clients', 'Clients of a thread whose sessions have begun.', {}, { across: 'each' }),
  loopDelay: gauge(
    'actor_loop_delay_seconds', 'Delays of an event loop in the last minute: median, 99 of 100, and the longest.', { of: DELAYS },
    { across: 'loops', unit: 1e-9 }
  ),
  utilization: gauge('actor_utilization', 'Share of the last second for which an event loop was busy.', {}, { across: 'loops' }),
  auditRecords: counter('audit_records_total', 'Records of the audit that were written.', { sink: AUDIT_SINKS }),
  auditDropped: counter('audit_dropped_total', 'Records of the audit that were lost.', { sink: AUDIT_SINKS })
} as const satisfies Record<string, Family>

/** Procedures of each program that are counted one by one, from 0. */
export const SPANS = [
  { prog: PROGRAM.remote, name: 'remote', procedures: 1024 },
  { prog: PROGRAM.qemu, name: 'qemu', procedures: 64 },
  { prog: PROGRAM.lxc, name: 'lxc', procedures: 64 }
] as const
/** How many places the procedures of all spans have. */
export const PLACES = SPANS.reduce((sum, { procedures }) => sum + procedures, 0)

/**
 * Behind the families: how many slots are taken, and the slots. Each is of one procedure of one driver, and taken when the
 * first such call has ended; the first slots are, driver by driver, those of all procedures that have none.
 */
export const SLOTS_USED_AT = words
export const SLOTS_AT = words + 1
export const MAX_SLOTS = DRIVERS.length + 1024
/** Words of a slot. The key is the procedure's place × drivers + the driver. */
export const SLOT = { key: 0, outcomes: 1, slow: 1 + OUTCOMES.length, duration: 2 + OUTCOMES.length } as const
export const SLOT_WORDS = SLOT.duration + HISTOGRAM_WORDS

export const WORDS = SLOTS_AT + MAX_SLOTS * SLOT_WORDS
