/**
 * The broker's own program on the admin socket, for what libvirt's has no word for. Arguments and results are JSON, each in
 * one XDR string. Fields are added in later versions, and none is taken away. Decoders throw XdrError.
 */

import { XdrError, XdrReader, XdrWriter } from '../xdr.js'

export const BROKER_PROGRAM = 0x20564221
export const BROKER = {
  status: 1, clients: 2, drivers: 3, disconnect: 4, drain: 5, resume: 6, reload: 7, limits: 8, closed: 9, log: 10,
  follow: 11, trace: 12, slow: 13, procedures: 14, connections: 15, busiest: 16
} as const

/** Result of STATUS. */
export interface BrokerStatus {
  version: string
  pid: number
  /** As in the life of the broker. */
  state: string
  /** When it was started, in milliseconds since the epoch. */
  since: number
  clients: number
  unauthenticated: number
  adminClients: number
  driverConnections: number
  threads: { min: number; max: number; serving: number; idle: number }
  /** Each of those that serve. */
  perThread: BrokerThread[]
  /** Clients that were ever let in, and those of them that have gone. */
  accepted: number
  closed: number
  /** Calls that have ended, by how; undefined where calls are not counted (`metrics_listen`). */
  calls: BrokerCalls | undefined
  /** Why the configuration could not be loaded anew, if that was so the last time. */
  refused: string | undefined
}

export interface BrokerThread {
  number: number
  clients: number
  driverConnections: number
  /** It has little time left. */
  busy: boolean
  /** Its event loop does not turn. */
  stuck: boolean
}

/**
 * `refused`: no driver daemon was given the call. `lost`: its client or its daemon went away first. `timeout`: the daemon was
 * given up, because it did not answer pings either.
 */
export interface BrokerCalls {
  ok: number
  error: number
  refused: number
  lost: number
  timeout: number
}

/** Arguments of CLIENTS and CLOSED. */
export interface WantedClients {
  /** Only those with a higher id, or number; 0 if it is absent. */
  after: number
}

/** Result of CLIENTS, in the order of their ids. */
export interface ClientPage {
  clients: BrokerClient[]
  /** There are others after them. */
  more: boolean
}

export interface BrokerClient {
  id: number
  since: number
  /** Name of its listener. */
  listener: string
  transport: string
  readonly: boolean
  peer: string | undefined
  pid: number | undefined
  user: string | undefined
  state: string
  /** As in OpenedDriver; undefined if it has opened nothing. */
  driver: string | undefined
  thread: number
}

/** Result of CLOSED: those that went last, in the order in which they went. */
export interface ClosedPage {
  clients: ClosedBrokerClient[]
  more: boolean
}

export interface ClosedBrokerClient extends BrokerClient {
  /** From 1, in the order in which clients went. */
  number: number
  /** When it went, in milliseconds since the epoch. */
  closed: number
  reason: string
}

/** Result of DRIVERS: what clients have opened. */
export interface DriverList {
  drivers: OpenedDriver[]
  /** Those that are too many to be listed. */
  others: { drivers: number; clients: number }
}

export interface OpenedDriver {
  /** The URI without its query, of at most 256 characters. */
  driver: string
  clients: number
}

/** Arguments of CONNECTIONS: those of a thread, after the one with that number; 0 if it is absent. */
export interface WantedConnections {
  thread: number
  after?: number
}

/** Result of CONNECTIONS: connections to driver daemons that are in use, in the order of their numbers. */
export interface DriverConnectionPage {
  connections: BrokerDriverConnection[]
  more: boolean
  /** The thread does not answer in time; the rest means nothing then. */
  silent: boolean
}

export interface BrokerDriverConnection {
  /** In its thread: from 1, in the order in which they were made. */
  connection: number
  /** Its key: socket of the daemon, what is open there, whether for reading only, and of whom the daemon was told, in short. */
  socket: string
  name: string
  readonly: boolean
  identity: string | undefined
  /** For the calls of all who share the key; those that wait for no hypervisor; their registrations; one client alone. */
  kind: 'shared' | 'priority' | 'events' | 'own'
  /** Of an own one: its client, and why. `off`, `name`: connections are not shared, or not those that lead there. */
  client?: number
  why?: string
  /** How many share its key. */
  clients: number
  /** That it has out, and how many ordinary ones it takes. */
  calls: number
  maxCalls: number
  /** How long the oldest of them has been out; absent if there is none, and of own ones where calls are not timed. */
  oldestMs?: number | undefined
}

/** Result of BUSIEST: the clients with most calls since somebody has asked last, the busiest first. */
export interface BusyClients {
  clients: BusyBrokerClient[]
  /** Threads that do not answer in time. */
  silent: number[]
}

export interface BusyBrokerClient extends BrokerClient {
  /** A second: calls that its driver daemon was given, and bytes. All 0 if nobody has asked for ten seconds. */
  calls: number
  bytesIn: number
  bytesOut: number
  /** Calls with the daemon, and not given to it yet; how long ago the oldest came. */
  inFlight: number
  waiting: number
  oldestMs?: number | undefined
  /** 99 of 100 of its calls took less, in microseconds. Absent until it was among the busiest twice, and where it is traced. */
  p99Us?: number | undefined
}

/** Arguments of DISCONNECT. */
export interface Disconnect {
  id: number
}

/** Arguments of LIMITS, where what is absent stays as it is. */
export interface WantedLimits {
  /** The broker's if it is absent. */
  of?: 'broker' | 'admin'
  maxClients?: number
  maxAnonymousClients?: number
}

/** Result of LIMITS, with how many there are. */
export interface BrokerLimits {
  maxClients: number
  maxAnonymousClients: number
  clients: number
  unauthenticated: number
}

/** Arguments of LOG, where what is absent stays as it is, and its result. */
export interface BrokerLog {
  level: string
  /** In the words of the configuration file. */
  filters: string
  outputs: string
}

/** Arguments of FOLLOW: the lines after the one with that number; if it is absent none, and `last` says where the log is. */
export interface WantedLines {
  after?: number
}

/** Result of FOLLOW. Lines are kept while somebody asks at least every ten seconds. */
export interface FollowedLines {
  /** Each an object of JSON, as with `log_format = "json"`. */
  lines: string[]
  /** Number of the last of them, or of the last that there was. */
  last: number
  /** Lines that were too many to be kept. */
  lost: number
  /** There are others after them. */
  more: boolean
}

/** Arguments of TRACE. It goes on as long as somebody asks at least every ten seconds. */
export interface WantedTrace {
  /** Of the client. */
  id: number
  /** As it was told: a client that has gone is found by it. */
  thread?: number
}

/** Result of TRACE: what was not told yet. */
export interface BrokerTrace {
  thread: number
  /** The thread does not answer in time; the rest means nothing then. */
  silent: boolean
  /** The trace begins with this, or anew: for a while nobody has asked. */
  began: boolean
  calls: BrokerTracedCall[]
  /** Calls before these that were too many to be kept. */
  dropped: number
  /** Some of those that its driver daemon has not answered, and how many there are; how many it has not been given. */
  inFlight: { procedure: string; ms: number | undefined }[]
  allInFlight: number
  waiting: number
  /** Why the client has gone, if it has. */
  over: string | undefined
}

export interface BrokerTracedCall {
  /** When it ended, in milliseconds since the epoch. */
  at: number
  procedure: string
  /** As in BrokerCalls. */
  outcome: keyof BrokerCalls
  /** libvirt's number of the error. */
  code: number | undefined
  /** Of what the broker has refused. */
  message: string | undefined
  /** In microseconds: until the daemon was given it, and from then on. Absent where the broker has answered. */
  queuedUs?: number
  driverUs?: number
}

/** Result of SLOW: the last calls that took long, the latest last. */
export interface SlowCallList {
  calls: BrokerSlowCall[]
  /** As in the configuration; 0: none is noted. */
  slowCallMs: number
}

export interface BrokerSlowCall {
  /** When it ended, in milliseconds since the epoch. */
  at: number
  /** Number of its client, and who that is. */
  client: number | undefined
  from: string | undefined
  dn: string | undefined
  sasl: string | undefined
  driver: string
  procedure: string
  /** The name or UUID that its arguments begin with. */
  object: string | undefined
  /** 0, or libvirt's number of the error. */
  code: number
  queuedUs: number
  driverUs: number
}

/** Result of PROCEDURES: what took most time first. */
export interface ProcedureList {
  procedures: BrokerProcedure[]
  /** Those that are too many to be listed. */
  others: number
}

export interface BrokerProcedure {
  program: string
  procedure: string
  driver: string
  calls: number
  errors: number
  refused: number
  lost: number
  timeouts: number
  slow: number
  /** Those that a driver daemon has answered, and how long they took together. */
  timed: number
  totalUs: number
  /** Half of them took less, and 99 of 100. Absent where there are none. */
  p50Us?: number
  p99Us?: number
}

export const encodeJson = (value: unknown): Buffer => new XdrWriter().string(JSON.stringify(value ?? null)).finish()

export const decodeJson = (body: Buffer): unknown => readJson(new XdrReader(body))

export function readJson(xdr: XdrReader): unknown {
  const text = xdr.string()
  try {
    return JSON.parse(text)
  } catch {
    throw new XdrError('this is no JSON')
  }
}
