import { MESSAGE_KINDS, type LogKind } from './log-kinds.js'

/** Log levels, least first. */
export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export const levelOf = (kind: LogKind): LogLevel => (kind === 'debug' || kind === 'info' ? kind : MESSAGE_KINDS[kind].level)

/** Names of what speaks in the log: those that libvirt has for the same things, so that its filters fit. */
export const SOURCE = {
  daemon: 'daemon.virtproxyd',
  /** Limits, and the threads that serve. */
  server: 'rpc.netserver',
  listener: 'rpc.netserverservice',
  client: 'rpc.netserverclient',
  tls: 'rpc.nettlscontext',
  sasl: 'rpc.netsaslcontext',
  polkit: 'util.polkit',
  access: 'access.accessmanager',
  driver: 'remote.remote_driver',
  testDriver: 'test.test_driver'
} as const
export type LogSource = (typeof SOURCE)[keyof typeof SOURCE]

/** What a record is about: fields of their own where the output has any. What is not known is undefined. */
export interface LogContext {
  /** The client's number. */
  readonly client?: number | undefined
  readonly listener?: string | undefined
  /** `ADDRESS:PORT` of a client that came over the network. */
  readonly address?: string | undefined
  /** User and process of a client that came over a UNIX socket. */
  readonly uid?: number | undefined
  readonly pid?: number | undefined
  /** Distinguished name in the client's certificate, and name by which it has logged in with SASL. */
  readonly dn?: string | undefined
  readonly sasl?: string | undefined
  /** Socket of a driver daemon. */
  readonly driver?: string | undefined
}

/** Makes a context when a record is written: most are not. */
export type About = () => LogContext

export type Log = (kind: LogKind, source: LogSource, message: string, about?: About) => void

/** What a log says of an exception that nobody expected. */
export const failureText = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))

/** The message with whom it is about, for outputs that have only lines. */
export function withContext(message: string, { client, address, uid, pid, driver }: LogContext = {}): string {
  const from = address ?? (uid === undefined ? undefined : `uid ${uid}, pid ${pid ?? -1}`)
  const who = client === undefined ? '' : `client ${client}${from === undefined ? '' : ` at ${from}`}: `
  return `${who}${message}${driver === undefined || message.includes(driver) ? '' : ` (driver daemon ${driver})`}`
}
