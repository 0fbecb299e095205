/** Log levels, least first. */
export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

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

/** What a record is about: fields of their own where the output has any, else a part of the line. */
export interface LogContext {
  client?: ClientLabel
  /** Socket of a driver daemon. */
  driver?: string
}

export interface ClientLabel {
  readonly id: number
  /** `ADDRESS:PORT`, or `uid UID, pid PID`; undefined where the socket does not tell. */
  readonly from: string | undefined
}

export type Log = (level: LogLevel, source: LogSource, message: string, about?: LogContext) => void

/** What a log says of an exception that nobody expected. */
export const failureText = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))

/** The message with what it is about, for outputs that have only lines. */
export function withContext(message: string, { client, driver }: LogContext = {}): string {
  const who = client === undefined ? '' : `client ${client.id}${client.from === undefined ? '' : ` at ${client.from}`}: `
  return `${who}${message}${driver === undefined ? '' : ` (driver daemon ${driver})`}`
}
