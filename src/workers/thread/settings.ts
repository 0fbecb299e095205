import type { LogLevel } from '../base/log.js'
import type { AuthMethod } from '../os/listener-kind.js'
import type { TlsSettings } from '../tls/tls-settings.js'

/** Whose clients share driver connections: those of one identity, or those of one user, or nobody's. */
export type DriverSharing = 'identity' | 'user' | 'off'

/** What an actor thread has to know of the configuration: plain data, so that it can be posted to threads. */
export interface ActorSettings {
  /** Records below this level reach no output, so threads do not send them. */
  logLevel: LogLevel
  keepalive: KeepaliveSettings
  /** Calls of one client that may be with driver daemons at once, and calls on one connection to a driver daemon. */
  maxClientRequests: number
  driverMaxRequests: number
  /** Deadlines for connecting to a driver daemon, and for opening a connected one, in milliseconds. */
  driverConnectTimeoutMs: number
  driverOpenTimeoutMs: number
  /** Whose clients share driver connections. */
  driverSharing: DriverSharing
  /** Connections of one identity that are kept for ordinary calls, and how long one is kept that nobody uses, in milliseconds. */
  driverPoolSize: number
  driverIdleTimeoutMs: number
  /** Connections of one daemon that may be idle. */
  driverMaxIdle: number
  /** Whether the same reads of several clients become one while they wait. */
  collapseReads: boolean
  /** Deadline for everything before a client is authenticated, in milliseconds; 0: none. */
  loginTimeoutMs: number
  /** The shorter one until a client that has to log in has sent a first header, and for TLS handshakes; 0: none. */
  firstFrameTimeoutMs: number
  /** Least strength of SASL's encryption on plain TCP, in bits. */
  tcpMinSsf: number
  /** Globs of the SASL names that are let in; undefined: all. */
  saslAllowedUsers: readonly string[] | undefined
  /** A call that takes so many milliseconds is told of; 0: none is. */
  slowCallMs: number
  /** Rules of the procedure policy. */
  policy: readonly string[]
  /** Whether counts in calls are checked before a driver daemon sees them. */
  shield: boolean
  /** Whether calls of clients that come are recorded. */
  auditing: boolean
  /** Those that only read too. */
  auditReads: boolean
  /** Whether calls that change something are refused while they cannot be recorded. */
  auditFailClosed: boolean
  /** Of the bus where polkit is, as in DBUS_SYSTEM_BUS_ADDRESS. */
  systemBusAddress: string
  /** How long a client may read nothing of what is queued for it, in milliseconds; 0: for ever. */
  clientStallTimeoutMs: number
  /** How long calls that came before the end of a client's connection may take until it is closed, in milliseconds. */
  closeTimeoutMs: number
  /** Whether clients without a close callback are reconnected after a restart of their driver daemon. */
  driverReconnect: boolean
  /** Where `virtqemud-sock` and its like are looked up. */
  driverSocketDir: string
  /** Sockets named by the configuration, by URI scheme; the scheme `*` is a monolithic libvirtd for all others. */
  driverSockets: readonly (readonly [scheme: string, path: string])[]
  /** Socket of the embedded test driver, if it runs. */
  testDriverSocket: string | undefined
  /**
   * Paths of our own listeners, real ones and those under which they appear in `driverSocketDir`: a driver connection
   * must never lead back to them.
   */
  ownSockets: readonly string[]
  /** `uri_aliases` of libvirt.conf. */
  uriAliases: readonly (readonly [alias: string, uri: string])[]
  /** What user and group 0 are called. */
  superuser: Readonly<Record<'user' | 'group', string>>
  /** Whether the driver daemons in `driverSocketDir` are the system's, or those of an ordinary user's session. */
  place: 'system' | 'session'
  /** Whether these are started when a client wants them. */
  startsDaemons: boolean
  /** Undefined where no listener wants TLS. */
  tls: TlsSettings | undefined
  /** Undefined where what a proxy says of a client's TLS connection counts for nothing. */
  proxiedTls: ProxiedTlsSettings | undefined
}

/** What becomes of clients whose TLS connections end at a trusted proxy. */
export interface ProxiedTlsSettings {
  auth: AuthMethod
  /** As in `TlsSettings`. */
  allowedNames: readonly string[] | undefined
}

export interface KeepaliveSettings {
  /** Milliseconds of silence before a ping; 0 or less: never ping. */
  intervalMs: number
  /** Pings without an answer before the peer counts as dead. */
  count: number
}
