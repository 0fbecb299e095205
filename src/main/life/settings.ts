import type { DrainSettings } from './drain.js'
import type { AdmissionLimits, ClientBounds } from '../clients/admission.js'
import type { ConfiguredActor } from '../config/actor-settings.js'
import type { Listening } from '../config/check.js'
import type { AuditPlace } from '../config/audit-place.js'
import type { Config } from '../config/load.js'
import type { LogSettings } from '../config/log-settings.js'
import type { TlsOptions } from '../tls/load.js'
import { tlsOptions } from '../tls/options.js'

/** What of the configuration can change while the broker runs: replaced as a whole, and nobody keeps a part of it. */
export interface BrokerSettings {
  readonly log: LogSettings
  /** Undefined where there are no records of who did what. */
  readonly audit: AuditPlace | undefined
  readonly limits: AdmissionLimits
  readonly listening: Listening
  /** Connections of one socket that may wait to be accepted, and of the admin socket. */
  readonly backlog: number
  readonly adminBacklog: number
  /** Of the admin socket. */
  readonly adminLimits: ClientBounds
  /** A thread gets so many clients before the next one gets its first. */
  readonly minClients: number
  /** Undefined where no listener wants TLS. */
  readonly tls: TlsOptions | undefined
  /** Whether the TLS files are looked at. */
  readonly watchTls: boolean
  /** Digest of what lets in to the live page; undefined: nothing does over TCP. */
  readonly metricsToken: Uint8Array | undefined
  readonly actor: ConfiguredActor
}

/** Both together, and some more, are what a timer takes. */
const MOST_MS = 2 ** 30

/** Read when a stop begins. */
export const drainSettings = ({ drainDelay, shutdownTimeout }: Config): DrainSettings => ({
  delayMs: Math.min(1000 * drainDelay, MOST_MS),
  timeoutMs: Math.min(1000 * shutdownTimeout, MOST_MS)
})

export const brokerSettings = (config: Config, actor: ConfiguredActor): BrokerSettings => ({
  log: config.log,
  audit: config.auditOutput,
  limits: {
    maxClients: config.maxClients,
    maxAnonymousClients: config.maxAnonymousClients,
    maxHandshakes: config.maxHandshakes,
    maxClientsPerAddress: config.maxClientsPerAddress,
    maxClientsPerUser: config.maxClientsPerUser,
    trustedProxies: config.proxyProtocol === 'require' ? config.proxyTrusted : undefined
  },
  listening: {
    listeners: config.listeners,
    authUnixRw: config.authUnixRw,
    authUnixRo: config.authUnixRo,
    authTcp: config.authTcp,
    authTls: config.authTls,
    tcpMinSsf: config.tcpMinSsf
  },
  backlog: config.maxQueuedClients,
  adminBacklog: config.adminMaxQueuedClients,
  // Nobody logs in there.
  adminLimits: { maxClients: config.adminMaxClients, maxAnonymousClients: 0 },
  minClients: config.actorMinClients,
  tls: tlsOptions(config),
  watchTls: config.tlsWatchFiles,
  metricsToken: config.metricsTokenDigest,
  actor
})
