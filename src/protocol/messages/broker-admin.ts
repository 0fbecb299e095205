/**
 * The broker's own program on the admin socket, for what libvirt's has no word for. Arguments and results are JSON, each in
 * one XDR string. Fields are added in later versions, and none is taken away. Decoders throw XdrError.
 */

import { XdrError, XdrReader, XdrWriter } from '../xdr.js'

export const BROKER_PROGRAM = 0x20564221
export const BROKER = {
  status: 1, clients: 2, drivers: 3, disconnect: 4, drain: 5, resume: 6, reload: 7, limits: 8, closed: 9, log: 10,
  follow: 11
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
  /** Why the configuration could not be loaded anew, if that was so the last time. */
  refused: string | undefined
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
