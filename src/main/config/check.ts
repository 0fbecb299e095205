import { statSync } from 'node:fs'
import { userIds } from '../../workers/names/lookup.js'
import type { AuthMethod, Config } from './load.js'
import { fieldName, KEYS, keyNames, type Key, type KeyName } from './keys.js'
import { reaches, reachOf } from './reach-table.js'
import { isLoopback, PLACE_KEYS, type ListenerName } from './listeners.js'

/**
 * What `--check-config` prints about a configuration that can be used: a few headed lists, empty ones left out. `found`:
 * warnings that came of looking at the host. `atStart`: what only a start can tell. `running`: the process that a reload
 * would be for, 0 if it cannot be seen.
 */
export function describeConfig(
  config: Config, found: readonly string[] = [], atStart: readonly string[] = [], running?: number
): string {
  const places = placeKeys(config)
  const given = keyNames.filter(name => config.given.has(name) && (config.passed === undefined || !places.includes(name)))
  const effects = (when: Key<unknown>['effect']['when']) => given.filter(name => KEYS[name].effect.when === when)
  return [
    `configuration file: ${config.file ?? `none (looked for ${config.paths.configFiles.join(', ')})`}`,
    `running as: ${config.privileged ? 'root' : 'an ordinary user'}`,
    ...section(
      'values that differ from the default',
      effects('now').filter(name => differs(config, name)).map(name => `${name} = ${shown(config, name)}`)
    ),
    ...section('without effect where systemd makes the sockets', config.passed === undefined ? places : []),
    ...section('ignored', effects('never').map(name => withReason(config, name))),
    ...section('unknown keys', config.unknown.map(({ name, line }) => `${name} (line ${line})`)),
    ...section('warnings', [...warnings(config), ...found]),
    ...section('what only a start can tell', atStart),
    ...(running === undefined ? [] : reloadSection(given, running)),
    ''
  ].join('\n')
}

/** What it was started with, and what it has loaded since, only that process knows. */
function reloadSection(given: readonly KeyName[], running: number): string[] {
  const who = running === 0 ? 'a process outside this container' : `process ${running}`
  const keys = reaches.map(reach => [reach, given.filter(name => reachOf(name) === reach)] as const)
  return section(
    `${who} runs with this pid file; if it reads this file now (SIGHUP), what has changed counts`,
    keys.filter(([, names]) => names.length > 0).map(([reach, names]) => `${COUNTS[reach]}: ${names.join(', ')}`)
  )
}

const COUNTS = { live: 'at once', 'new clients': 'for new clients', restart: 'from the next start on' } as const

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : ['', `${title}:`, ...lines.map(line => `  ${line}`)]

const value = (config: Config, name: KeyName): unknown => (config as unknown as Record<string, unknown>)[fieldName(name)]

function differs(config: Config, name: KeyName): boolean {
  return shown(config, name) !== print(name, KEYS[name].default)
}

const shown = (config: Config, name: KeyName): string => print(name, value(config, name))

/** A value in the form in which it would stand in the file. */
function print(name: KeyName, found: unknown): string {
  if (found instanceof Map) return print(name, [...(found as Map<string, string>)].map(pair => pair.join('=')))
  if (Array.isArray(found)) return `[ ${found.map(item => `"${item}"`).join(', ')} ]`
  if (typeof found === 'number' && KEYS[name].type === 'string') return `"0${found.toString(8)}"`
  if (typeof found === 'boolean') return found ? '1' : '0'
  if (typeof found === 'object' && found !== null) return `"${Object.values(found).join(':')}"`
  return typeof found === 'string' ? `"${found}"` : String(found)
}

function withReason(config: Config, name: KeyName): string {
  const { effect, type } = KEYS[name]
  const text = type === 'anything' ? name : `${name} = ${shown(config, name)}`
  switch (effect.when) {
    case 'now':
      return text
    case 'never':
      return `${text} (${effect.because})`
  }
}

/** Whether a socket's mode lets every user of this host in. */
const open = (mode: number): boolean => (mode & 0o006) !== 0
/** Who sets one of these means to serve over TLS. */
const TLS_KEYS = ['ca_file', 'cert_file', 'key_file', 'cert_files', 'key_files', 'auth_tls'] as const satisfies readonly KeyName[]

/** Keys of the file that say nothing about sockets of systemd's. */
const placeKeys = ({ given }: Config): KeyName[] => PLACE_KEYS.filter(name => given.has(name))

/** What is allowed and yet seldom meant. It is said at each start too. */
export function warnings(config: Config): string[] {
  const found: string[] = []
  const { listeners } = config
  if (listeners.has('main') && config.authUnixRw === 'none' && open(config.unixSockRwPerms)) {
    found.push('auth_unix_rw is "none" and the mode of the main socket lets every user of this host in')
  }
  if (listeners.has('readonly') && config.authUnixRo === 'none' && open(config.unixSockRoPerms) && config.privileged) {
    found.push('auth_unix_ro is "none" and the mode of the read-only socket lets every user of this host look')
  }
  if (config.listenTcp && config.authTcp === 'none') {
    const who = isLoopback(config.listenAddr)
      ? 'every user of this host in, also on a loopback address'
      : `everybody on the network in: set ${config.passed === undefined ? 'listen_addr' : 'ListenStream='} to a loopback address`
    found.push(`${config.passed === undefined ? 'listen_tcp' : 'the TCP socket'} with auth_tcp = "none" lets ${who}`)
  }
  if (config.listenTls && config.authTls === 'none' && config.tlsNoVerifyCertificate && !isLoopback(config.listenAddr)) {
    found.push('tls_no_verify_certificate with auth_tls = "none" lets everybody on the network in')
  }
  if (config.listenTcp && config.authTcp === 'polkit') {
    found.push('auth_tcp = "polkit" can never succeed: it needs the credentials that only UNIX sockets have')
  }
  if (config.listenTls && config.authTls === 'polkit') {
    found.push('auth_tls = "polkit" can never succeed: it needs the credentials that only UNIX sockets have')
  }
  if (config.auditOutput === undefined) {
    const idle = (['audit_reads', 'audit_fail_closed'] as const).filter(name => value(config, name) === true)
    if (idle.length > 0) found.push(`there is no audit_output, so there is no use for ${idle.join(', ')}`)
  }
  if (config.driverSharing === 'user') {
    found.push('driver_sharing = "user" tells driver daemons of no process: those with access_drivers = [ "polkit" ] refuse the calls')
  }
  if (config.collapseReads && config.driverSharing === 'off') {
    found.push('collapse_reads has no effect without driver_sharing')
  }
  found.push(...proxyWarnings(config))
  if (othersWrite(config.driverSocketDir)) {
    found.push(`driver_socket_dir: others can write to ${config.driverSocketDir}, and put sockets of their own there`)
  }
  const idle = config.listenTls ? [] : TLS_KEYS.filter(name => config.given.has(name))
  const noTls = config.passed === undefined ? 'listen_tls is 0' : 'systemd has made no socket for TLS'
  if (idle.length > 0) found.push(`${noTls}, so there is no use for ${idle.join(', ')}`)
  if (config.priority !== undefined && config.priority.leftOut.length > 0) {
    found.push(`tls_priority asks for what is not supported, and goes without it: ${config.priority.leftOut.join(', ')}`)
  }
  const places = config.passed === undefined ? [] : placeKeys(config)
  if (places.length > 0) found.push(`systemd has made the sockets, so there is no use for ${places.join(', ')}`)
  found.push(...testDriverWarnings(config))
  if (config.metricsToken !== undefined && config.metricsListen === undefined) {
    found.push('metrics_listen is not set, so there is no use for metrics_token')
  }
  if (config.given.has('max_client_requests') && config.maxClientRequests < 2) {
    found.push('max_client_requests of 1 makes every client wait for each reply')
  }
  return found
}

function proxyWarnings({ proxyProtocol, proxyTrusted, proxyTlsIdentity, listeners }: Config): string[] {
  const wants = proxyProtocol === 'require'
  const given = [...(proxyTrusted.length > 0 ? ['proxy_trusted'] : []), ...(proxyTlsIdentity ? ['proxy_tls_identity'] : [])]
  if (!wants) return given.length === 0 ? [] : [`proxy_protocol is "off", so there is no use for ${given.join(', ')}`]
  const everybody = proxyTrusted.filter(network => network.endsWith('/0'))
  return [
    ...everybody.map(network => `proxy_trusted has ${network}: everybody can pretend to be a proxy, and to be anywhere`),
    ...(listeners.has('tcp') || listeners.has('tls') ? [] : ['proxy_protocol is "require", and nobody listens on TCP or TLS'])
  ]
}

/** Whether others than root and we can write to a directory, as far as can be seen. */
export function othersWrite(dir: string): boolean {
  try {
    const { mode, uid, gid } = statSync(dir)
    const byGroup = (mode & 0o020) !== 0 && gid !== 0 && gid !== process.getegid!()
    return (mode & 0o002) !== 0 || byGroup || (uid !== 0 && uid !== process.geteuid!())
  } catch {
    return false
  }
}

function testDriverWarnings(config: Config): string[] {
  const { embeddedTestDriver, embeddedTestDriverUser: user, privileged } = config
  if (!embeddedTestDriver) return []
  const found: string[] = []
  if (privileged) {
    const uid = user === '' ? 0 : userIds(user)?.uid
    if (uid === undefined) {
      found.push(`embedded_test_driver runs as root: embedded_test_driver_user "${user}" is no user of this host`)
    } else if (uid === 0) {
      found.push(`embedded_test_driver runs as root: embedded_test_driver_user is "${user}"`)
    } else {
      found.push('embedded_test_driver is for trying out and for tests, and this broker runs as root')
    }
  }
  const free = openedListeners(config).filter(([key, method]) => {
    if (method !== 'none') return false
    if (key === 'auth_unix_rw') return open(config.unixSockRwPerms)
    if (key === 'auth_unix_ro') return open(config.unixSockRoPerms)
    return key === 'auth_tcp' || config.tlsNoVerifyCertificate
  })
  if (free.length > 0) {
    const keys = free.map(([key]) => `${key} = "none"`).join(', ')
    found.push(`embedded_test_driver is open to everybody who reaches the listeners with ${keys}`)
  }
  return found
}

const AUTH_KEYS = { main: 'auth_unix_rw', readonly: 'auth_unix_ro', tcp: 'auth_tcp', tls: 'auth_tls' } as const

/** Which listeners a configuration wants, and how their clients log in. */
export type Listening = Pick<Config, 'listeners' | 'authUnixRw' | 'authUnixRo' | 'authTcp' | 'authTls' | 'tcpMinSsf'>

/** The listeners, by the key of their authentication method; the admin socket has none. */
export function openedListeners({ listeners, authUnixRw, authUnixRo, authTcp, authTls }: Listening): [string, AuthMethod][] {
  const methods: [Exclude<ListenerName, 'admin'>, AuthMethod][] = [
    ['main', authUnixRw], ['readonly', authUnixRo], ['tcp', authTcp], ['tls', authTls]
  ]
  return methods.filter(([name]) => listeners.has(name)).map(([name, method]) => [AUTH_KEYS[name], method])
}
