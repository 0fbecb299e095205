import { readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { reasonOf } from '../../workers/os/libc.js'
import type { DriverSharing } from '../../workers/thread/settings.js'
import { parseRule, RuleError } from '../../workers/policy/rules.js'
import { MAX_CONF_BYTES, parseConf } from './grammar.js'
import { EXIT, StartupError } from './startup-error.js'
import { keepForRestart, readSettings, type FileContents, type KeyName, type Settings } from './keys.js'
import { overruled, type ListenerName, type PassedSockets } from './listeners.js'
import { logSettings, type LogSettings } from './log-settings.js'
import { parseAuditPlace, type AuditPlace } from './audit-place.js'
import { metricsPlace, type MetricsPlace } from './metrics-place.js'
import { metricsToken } from './metrics-token.js'
import { defaultPaths, socketPaths, type Paths, type SocketPaths } from './paths.js'
import { badPort, portNumber, UNKNOWN_NAME } from './port.js'
import { proxySettings, type ProxyProtocol } from './proxy-settings.js'
import { tlsPriority, type TlsPriority } from './tls-priority/tls-priority.js'
import { readSystemPolicy } from './tls-priority/system-policy.js'
import { threadModule } from './thread-module.js'
import { tlsFiles, type TlsFiles } from './tls-files.js'

export type AuthMethod = 'none' | 'sasl' | 'polkit'

/** What the broker runs by: every key's value, with defaults, checked against each other. */
export interface Config extends Omit<Settings, RefinedField> {
  /** The file that was read, undefined if there was none. */
  file: string | undefined
  privileged: boolean
  /** Keys that the file sets. */
  given: ReadonlySet<KeyName>
  unknown: FileContents['unknown']
  /** The values as they are in the file, or were at the start where they need a restart. */
  written: Settings
  /** Keys that have changed and need a restart. */
  waiting: readonly KeyName[]
  paths: Paths
  sockets: SocketPaths
  /** What a start listens for. */
  listeners: ReadonlySet<ListenerName>
  /** Undefined: the broker makes its sockets itself. */
  passed: PassedSockets | undefined
  unixSockRoPerms: number
  unixSockRwPerms: number
  unixSockAdminPerms: number
  authUnixRo: AuthMethod
  authUnixRw: AuthMethod
  authTcp: AuthMethod
  authTls: AuthMethod
  driverSocketDir: string
  driverSharing: DriverSharing
  proxyProtocol: ProxyProtocol
  /** Given where proxies are required. */
  proxyTrusted: readonly string[]
  /** URI scheme to path; the scheme `*` stands for every other. */
  driverSockets: ReadonlyMap<string, string>
  actorThreads: number
  metricsListen: MetricsPlace | undefined
  /** Of the token in the file that `metricsToken` names, SHA-256. */
  metricsTokenDigest: Uint8Array | undefined
  threadModule: string | undefined
  auditOutput: AuditPlace | undefined
  log: LogSettings
  /** Undefined while `listen_tls` is off; see `tlsFiles` for sockets handed over by systemd. */
  tls: TlsFiles | undefined
  /** What `tls_priority` comes to on this host; undefined as `tls` is. */
  priority: TlsPriority | undefined
}

type RefinedField =
  | 'unixSockRoPerms'
  | 'unixSockRwPerms'
  | 'unixSockAdminPerms'
  | 'authUnixRo'
  | 'authUnixRw'
  | 'authTcp'
  | 'authTls'
  | 'driverSocketDir'
  | 'driverSharing'
  | 'proxyProtocol'
  | 'proxyTrusted'
  | 'driverSockets'
  | 'actorThreads'
  | 'metricsListen'
  | 'threadModule'
  | 'auditOutput'

export interface LoadOptions {
  /** Path given with `-f`; it must exist. */
  configFile?: string | undefined
  verbose?: boolean | undefined
  privileged: boolean
  env: Readonly<Record<string, string | undefined>>
  /** Sockets that systemd has made. What the file says of places counts for nothing then. */
  passed?: PassedSockets | undefined
  /** From where paths are meant; otherwise from the current directory. */
  directory?: string | undefined
  /** What a broker runs by that loads its configuration anew: keys that need a restart stay as they are. */
  running?: Settings | undefined
}

/** Reads and checks the configuration. Throws a StartupError with libvirt's text and exit code. */
export function loadConfig(options: LoadOptions): Config {
  const paths = defaultPaths(options.privileged, options.env)
  const file = options.configFile ?? paths.configFiles.find(exists)
  if (file === undefined) return checkConfig(readSettings(new Map(), ''), undefined, paths, options)
  const contents = asLoadError(file, () => readSettings(parseConf(readConfFile(file), file), file))
  return checkConfig(contents, file, paths, options)
}

/** The rules in the order in which virtproxyd comes upon them, because the first one broken decides the exit code. */
function checkConfig(contents: FileContents, file: string | undefined, paths: Paths, options: LoadOptions): Config {
  const { given, unknown } = contents
  const { privileged, env, passed, directory, running } = options
  const { written, waiting } = keepForRestart(contents.settings, running ?? contents.settings)
  const settings = passed === undefined ? written : overruled(written, passed)
  const own = asLoadError(file ?? '', () => {
    const auth = authMethods(settings, privileged, file ?? '')
    checkNumbers(settings, given)
    checkPolicy(settings.procedurePolicy ?? [], file ?? '')
    return {
      ...auth,
      driverSockets: parseDriverSockets(settings.driverSockets ?? [], file ?? ''),
      ...proxySettings(settings, file ?? ''),
      metricsListen: metricsPlace(settings.metricsListen, file ?? ''),
      metricsTokenDigest: metricsToken(settings.metricsToken, file ?? ''),
      threadModule: threadModule(settings.threadModule, file ?? ''),
      auditOutput: parseAuditPlace(settings.auditOutput, file ?? '')
    }
  })
  checkHostUuid(settings)
  const log = logSettings(
    { level: settings.logLevel, filters: settings.logFilters, outputs: settings.logOutputs, format: settings.logFormat },
    env,
    options.verbose ?? false,
    directory
  )
  checkAccessDrivers(settings)
  if (passed === undefined) checkListeners(settings)
  const priority = settings.listenTls ? tlsPriority(settings.tlsPriority, readSystemPolicy(env)) : undefined
  if (settings.maxAnonymousClients > settings.maxClients) {
    throw new StartupError(
      'internal error: The overall maximum number of clients must not be less than the number of clients waiting ' +
        'for authentication',
      EXIT.init
    )
  }
  const sockets = socketPaths(privileged, paths.runDir, settings.unixSockDir, passed)
  return {
    ...settings,
    ...own,
    file,
    privileged,
    given,
    unknown,
    written,
    waiting,
    paths,
    sockets,
    listeners: passed === undefined ? listeners(settings, sockets) : new Set(passed.keys()),
    passed,
    // virtproxyd with 0 answers one message and never reads again.
    maxClientRequests: Math.max(1, settings.maxClientRequests),
    unixSockRoPerms: parseMode(settings.unixSockRoPerms),
    // Polkit protects the socket; `none` set by hand does not narrow the mode, and the check warns about that.
    unixSockRwPerms: parseMode(
      settings.unixSockRwPerms ?? (privileged || own.authUnixRw === 'polkit' ? '0777' : '0700')
    ),
    unixSockAdminPerms: parseMode(settings.unixSockAdminPerms),
    driverSocketDir: settings.driverSocketDir ?? paths.runDir,
    driverSharing: sharing(settings, file ?? ''),
    actorThreads: settings.actorThreads || availableParallelism(),
    log,
    tls: settings.listenTls ? tlsFiles(settings, paths, exists) : undefined,
    priority
  }
}

function listeners({ listenTcp, listenTls }: Settings, { readOnly, admin }: SocketPaths): Set<ListenerName> {
  const names: [ListenerName, boolean][] = [
    ['main', true], ['readonly', readOnly !== undefined], ['admin', admin !== undefined], ['tcp', listenTcp], ['tls', listenTls]
  ]
  return new Set(names.flatMap(([name, wanted]) => (wanted ? [name] : [])))
}

/** A file that cannot be looked at counts as there, so that reading it gives the reason. */
function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return true
  }
}

function readConfFile(file: string): string {
  try {
    // Looking at the size first keeps a huge file out of memory; what is no ordinary file has no size beforehand.
    const bytes = statSync(file).size <= MAX_CONF_BYTES ? readFileSync(file) : undefined
    if (bytes !== undefined && bytes.length <= MAX_CONF_BYTES) return bytes.toString('utf8')
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException
    throw new StartupError(`Failed to ${syscall === 'read' ? 'read' : 'open'} file '${file}': ${reasonOf(error)}`)
  }
  throw new StartupError(`Failed to read file '${file}': Value too large for defined data type`)
}

function asLoadError<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    throw new StartupError(`Can't load config file: ${error.message}: ${file}`, error.exitCode)
  }
}

const METHODS: readonly string[] = ['none', 'sasl', 'polkit'] satisfies AuthMethod[]

function authMethods(settings: Settings, privileged: boolean, file: string) {
  const method = (key: string, value: string): AuthMethod => {
    if (METHODS.includes(value)) return value as AuthMethod
    throw new StartupError(`unsupported configuration: ${file}: ${key}: unsupported auth ${value}`)
  }
  const unix = privileged ? 'polkit' : 'none'
  return {
    authUnixRw: method('auth_unix_rw', settings.authUnixRw ?? unix),
    authUnixRo: method('auth_unix_ro', settings.authUnixRo ?? unix),
    authTcp: method('auth_tcp', settings.authTcp),
    authTls: method('auth_tls', settings.authTls)
  }
}

const SHARING: readonly string[] = ['identity', 'user', 'off'] satisfies DriverSharing[]

function sharing(settings: Settings, file: string): DriverSharing {
  const { driverSharing } = settings
  if (SHARING.includes(driverSharing)) return driverSharing as DriverSharing
  throw new StartupError(`unsupported configuration: ${file}: driver_sharing: unsupported value ${driverSharing}`)
}

const LEAST_SSF = 112

function checkNumbers(settings: Settings, given: ReadonlySet<KeyName>): void {
  // The default, 56, is below the limit for values that are set.
  if (given.has('tcp_min_ssf') && settings.tcpMinSsf < LEAST_SSF) {
    throw new StartupError(
      `unsupported configuration: minimum SSF levels lower than ${LEAST_SSF} are not supported`
    )
  }
  if (settings.maxWorkers === 0) throw new StartupError("internal error: 'max_workers' must be greater than 0")
  if (settings.driverMaxRequests === 0) {
    throw new StartupError("internal error: 'driver_max_requests' must be greater than 0")
  }
  if (settings.driverConnectTimeout === 0) {
    throw new StartupError("internal error: 'driver_connect_timeout' must be greater than 0")
  }
  if (settings.driverOpenTimeout === 0) {
    throw new StartupError("internal error: 'driver_open_timeout' must be greater than 0")
  }
  if (settings.driverPoolSize === 0) throw new StartupError("internal error: 'driver_pool_size' must be greater than 0")
}

/** What can be said about TCP and TLS without asking the host. */
function checkListeners({ listenTcp, listenTls, listenAddr, tcpPort, tlsPort }: Settings): void {
  const ports = [...(listenTcp ? [tcpPort] : []), ...(listenTls ? [tlsPort] : [])]
  for (const port of ports) {
    if (portNumber(port) === 'none') throw badPort(port)
    // To the resolver an empty name is a name that it does not know, and not every address.
    if (listenAddr === '') {
      throw new StartupError(`Unable to resolve address '' service '${port}': ${UNKNOWN_NAME}`, EXIT.network)
    }
  }
}

function checkPolicy(rules: readonly string[], file: string): void {
  try {
    for (const rule of rules) parseRule(rule)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new StartupError(`unsupported configuration: ${file}: procedure_policy: ${error.message}`)
  }
}

function parseDriverSockets(list: readonly string[], file: string): Map<string, string> {
  const sockets = new Map<string, string>()
  for (const item of list) {
    const [, scheme, path] = /^(\*|[A-Za-z][A-Za-z0-9.-]*)=(.*)$/s.exec(item) ?? []
    if (scheme === undefined || path === undefined || !isAbsolute(path)) {
      throw new StartupError(
        `unsupported configuration: ${file}: driver_sockets: '${item}' is not of the form SCHEME=/PATH`
      )
    }
    sockets.set(scheme.toLowerCase(), path)
  }
  return sockets
}

function checkHostUuid(settings: Settings): void {
  const { hostUuid, hostUuidSource } = settings
  if (hostUuid !== undefined) {
    const digits = hostUuid.replace(/[- ]/g, '')
    // Sixteen equal bytes are what careless firmware reports.
    if (!/^[0-9a-f]{32}$/i.test(digits) || digits === digits.slice(0, 2).repeat(16)) {
      throw new StartupError(`invalid host UUID: ${hostUuid}`)
    }
  } else if (hostUuidSource !== undefined && hostUuidSource !== 'smbios' && hostUuidSource !== 'machine-id') {
    throw new StartupError(`invalid UUID source: ${hostUuidSource}`)
  }
}

function checkAccessDrivers(settings: Settings): void {
  const unknown = settings.accessDrivers?.find(name => name !== 'none' && name !== 'polkit')
  if (unknown !== undefined) throw new StartupError(`internal error: Cannot find security driver '${unknown}'`)
}

function parseMode(text: string): number {
  if (!/^0*[0-7]{1,4}$/.test(text)) throw new StartupError(`Failed to parse mode '${text}'`, EXIT.network)
  return parseInt(text, 8)
}
