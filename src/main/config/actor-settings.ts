import { readFileSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { aliasMap } from '../../protocol/uri.js'
import { nameOf } from '../../workers/names/lookup.js'
import { DEFAULT_BUS } from '../../workers/polkit/system-bus.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import { parseConf } from './grammar.js'
import { SYSTEM_RUN_DIR } from './paths.js'
import { StartupError } from './startup-error.js'
import type { Config } from './load.js'

/** Every client speaks first, and at once. */
const FIRST_FRAME_MS = 10_000

/** What the configuration says of them; the rest is known to those who open logs, read TLS files and start the test driver. */
export type ConfiguredActor = Omit<ActorSettings, 'logLevel' | 'testDriverSocket' | 'tls'>

/**
 * Whose driver daemons the broker stands before. An ordinary user may look for the system's too, as the unprivileged
 * service does.
 */
function placeOf({ privileged, driverSocketDir }: Config): ActorSettings['place'] {
  return privileged || driverSocketDir === SYSTEM_RUN_DIR ? 'system' : 'session'
}

/** Daemons make their sockets in the session's directory only; who says `LIBVIRT_AUTOSTART=0` starts them himself. */
function startsDaemons(config: Config): boolean {
  const there = config.driverSocketDir === config.paths.runDir
  return placeOf(config) === 'session' && there && process.env['LIBVIRT_AUTOSTART'] !== '0'
}

const proxiedTls = ({ proxyProtocol, proxyTlsIdentity, authTls, tlsAllowedDnList }: Config): ActorSettings['proxiedTls'] =>
  proxyProtocol === 'require' && proxyTlsIdentity ? { auth: authTls, allowedNames: tlsAllowedDnList } : undefined

/** What the actor threads need of the configuration. Throws StartupError. */
export function actorSettings(config: Config): ConfiguredActor {
  const ownSockets = ownSocketPaths(config)
  for (const [, socket] of config.driverSockets) {
    if (!ownSockets.includes(realPath(socket))) continue
    throw new StartupError(`driver_sockets: '${socket}' is a socket of this broker, not of a driver daemon`)
  }
  return {
    keepalive: { intervalMs: 1000 * config.keepaliveInterval, count: config.keepaliveCount },
    maxClientRequests: config.maxClientRequests,
    driverMaxRequests: config.driverMaxRequests,
    driverConnectTimeoutMs: 1000 * config.driverConnectTimeout,
    driverOpenTimeoutMs: 1000 * config.driverOpenTimeout,
    driverSharing: config.driverSharing,
    driverPoolSize: config.driverPoolSize,
    driverIdleTimeoutMs: 1000 * config.driverIdleTimeout,
    driverMaxIdle: config.driverMaxIdle,
    collapseReads: config.collapseReads,
    loginTimeoutMs: 1000 * config.loginTimeout,
    firstFrameTimeoutMs: Math.min(FIRST_FRAME_MS, 1000 * config.loginTimeout),
    clientStallTimeoutMs: 1000 * config.clientStallTimeout,
    closeTimeoutMs: 1000 * config.closeTimeout,
    driverReconnect: config.driverReconnect,
    tcpMinSsf: config.tcpMinSsf,
    saslAllowedUsers: config.saslAllowedUsernameList,
    slowCallMs: config.slowCallMs,
    policy: config.procedurePolicy ?? [],
    shield: config.shield,
    auditing: config.auditOutput !== undefined,
    auditReads: config.auditReads,
    auditFailClosed: config.auditFailClosed,
    systemBusAddress: config.systemBusAddress || process.env['DBUS_SYSTEM_BUS_ADDRESS'] || DEFAULT_BUS,
    driverSocketDir: config.driverSocketDir,
    driverSockets: [...config.driverSockets],
    ownSockets,
    uriAliases: readAliases(path.join(path.dirname(config.paths.configFiles[0]!), 'libvirt.conf')),
    superuser: { user: nameOf('user', 0) ?? 'root', group: nameOf('group', 0) ?? 'root' },
    proxiedTls: proxiedTls(config),
    place: placeOf(config),
    startsDaemons: startsDaemons(config)
  }
}

/** Our listeners' real paths, and the paths under which they are found where driver daemons are looked up. */
function ownSocketPaths({ sockets, driverSocketDir }: Config): string[] {
  const own = [sockets.main, sockets.readOnly, sockets.admin].filter(socket => socket !== undefined).map(realPath)
  const seen = own.map(socket => path.join(driverSocketDir, path.basename(socket)))
  return [...own, ...seen.filter(socket => own.includes(realPath(socket)))]
}

/** The socket itself may not be there yet, and its directory may be a link. */
function realPath(socket: string): string {
  try {
    return path.join(realpathSync(path.dirname(socket)), path.basename(socket))
  } catch {
    return socket
  }
}

/** `uri_aliases` of libvirt.conf: names that clients may use instead of a URI. Throws StartupError. */
function readAliases(file: string): [string, string][] {
  let text: string
  try {
    text = readFileSync(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new StartupError(`cannot read ${file}: ${(error as Error).message}`)
  }
  const aliases = parseConf(text, file).get('uri_aliases')?.value
  if (aliases?.kind !== 'list') return []
  const entries = aliases.value.map(item => (item.kind === 'string' ? item.value : ''))
  try {
    return [...aliasMap(entries)]
  } catch (error) {
    throw new StartupError(`${file}: ${(error as Error).message}`)
  }
}
