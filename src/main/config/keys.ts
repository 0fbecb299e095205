import { isDeepStrictEqual } from 'node:util'
import { type Assignment, type ConfValue } from './grammar.js'
import { StartupError } from './startup-error.js'

/** For whom a key that has changed counts after a reload: for all, for clients that come from then on, or nobody yet. */
export type Reach = 'live' | 'new clients' | 'restart'
/** How far a key works: as it is changed, or never (`because`). */
export type Effect = { when: 'now'; reach: Reach } | { when: 'never'; because: string }

/** One key of the configuration file: its type, what it means when absent, and whether it has an effect. */
export interface Key<T> {
  type: 'boolean' | 'unsigned integer' | 'signed integer' | 'string' | 'list of strings' | 'anything'
  default: T
  effect: Effect
  /** Throws a StartupError in libvirt's words when the value is not of the key's type. */
  read(value: ConfValue, name: string, fileName: string): T
}

const LIVE: Effect = { when: 'now', reach: 'live' }
const NEW_CLIENTS: Effect = { when: 'now', reach: 'new clients' }
const RESTART: Effect = { when: 'now', reach: 'restart' }
const never = (because: string): Effect => ({ when: 'never', because })

const WORKERS = never('no call occupies a worker thread here')
const ADMIN_CALLS = never('calls of one admin client are served one after the other')
const ADMIN_KEEPALIVE = never('admin clients are not asked whether they live, by virtproxyd neither')
const OBSOLETE = never('libvirt dropped it long ago')
const AUDIT = never('the driver daemons write the audit records')
const HOST_UUID = never('a broker shows the host UUID of the driver daemons')

function refuse(fileName: string, what: string): never {
  throw new StartupError(`internal error: ${fileName}: ${what}`)
}

function boolean(value: boolean, effect: Effect): Key<boolean> {
  return {
    type: 'boolean',
    default: value,
    effect,
    read(found, name, fileName) {
      if (found.kind !== 'unsigned') refuse(fileName, `expected a bool for '${name}' parameter`)
      if (found.value > 1n) refuse(fileName, `value for '${name}' parameter must be 0 or 1`)
      return found.value === 1n
    }
  }
}

function unsigned(value: number, effect: Effect): Key<number> {
  return {
    type: 'unsigned integer',
    default: value,
    effect,
    read(found, name, fileName) {
      if (found.kind !== 'unsigned') refuse(fileName, `expected an unsigned integer for '${name}' parameter`)
      return inRange(found.value, 0, 2 ** 32 - 1, name, fileName)
    }
  }
}

function signed(value: number, effect: Effect): Key<number> {
  return {
    type: 'signed integer',
    default: value,
    effect,
    read(found, name, fileName) {
      if (found.kind !== 'unsigned' && found.kind !== 'signed') {
        refuse(fileName, `expected a signed integer for '${name}' parameter`)
      }
      return inRange(found.value, -(2 ** 31), 2 ** 31 - 1, name, fileName)
    }
  }
}

function inRange(value: bigint, least: number, most: number, name: string, fileName: string): number {
  if (value < least || value > most) {
    refuse(fileName, `value for '${name}' parameter must be in range ${least}:${most}`)
  }
  return Number(value)
}

function readString(found: ConfValue, name: string, fileName: string): string {
  if (found.kind !== 'string') refuse(fileName, `expected a string for '${name}' parameter`)
  return found.value
}

const string = (value: string, effect: Effect): Key<string> => ({
  type: 'string',
  default: value,
  effect,
  read: readString
})

/** A string whose absence means something of its own, e.g. a default that depends on who runs the broker. */
const optionalString = (effect: Effect): Key<string | undefined> => ({
  type: 'string',
  default: undefined,
  effect,
  read: readString
})

/** A list whose absence differs from an empty one: no list allows everybody, an empty list nobody. */
const optionalList = (effect: Effect): Key<readonly string[] | undefined> => ({
  type: 'list of strings',
  default: undefined,
  effect,
  read(found, name, fileName) {
    if (found.kind !== 'list') refuse(fileName, `expected a string list for '${name}' parameter`)
    return found.value.map(item => {
      if (item.kind === 'string') return item.value
      throw new StartupError(
        `configuration file syntax error: ${fileName}: expected a string list for '${name}' parameter`
      )
    })
  }
})

/** Accepted in any form and never looked at. */
const obsolete: Key<undefined> = { type: 'anything', default: undefined, effect: OBSOLETE, read: () => undefined }

/** Every key that the configuration file may hold: those of virtproxyd.conf, then ours. */
export const KEYS = {
  listen_tls: boolean(false, LIVE),
  listen_tcp: boolean(false, LIVE),
  tls_port: string('16514', LIVE),
  tcp_port: string('16509', LIVE),
  listen_addr: optionalString(LIVE),
  unix_sock_group: optionalString(RESTART),
  unix_sock_ro_perms: string('0777', RESTART),
  unix_sock_rw_perms: optionalString(RESTART),
  unix_sock_admin_perms: string('0700', RESTART),
  unix_sock_dir: optionalString(RESTART),
  auth_unix_ro: optionalString(RESTART),
  auth_unix_rw: optionalString(RESTART),
  auth_tcp: string('sasl', RESTART),
  auth_tls: string('none', RESTART),
  tcp_min_ssf: unsigned(56, NEW_CLIENTS),
  access_drivers: optionalList(never('fine-grained access is checked by the driver daemons, which know the client')),
  ca_file: optionalString(NEW_CLIENTS),
  cert_file: optionalString(NEW_CLIENTS),
  key_file: optionalString(NEW_CLIENTS),
  cert_files: optionalList(NEW_CLIENTS),
  key_files: optionalList(NEW_CLIENTS),
  crl_file: optionalString(NEW_CLIENTS),
  tls_no_sanity_certificate: boolean(false, NEW_CLIENTS),
  tls_no_verify_certificate: boolean(false, NEW_CLIENTS),
  tls_allowed_dn_list: optionalList(NEW_CLIENTS),
  tls_priority: optionalString(NEW_CLIENTS),
  sasl_allowed_username_list: optionalList(NEW_CLIENTS),
  min_workers: unsigned(5, WORKERS),
  max_workers: unsigned(20, WORKERS),
  prio_workers: unsigned(5, WORKERS),
  max_clients: unsigned(5000, LIVE),
  max_queued_clients: unsigned(1000, LIVE),
  max_anonymous_clients: unsigned(20, LIVE),
  max_client_requests: unsigned(5, LIVE),
  keepalive_interval: signed(5, NEW_CLIENTS),
  keepalive_count: unsigned(5, NEW_CLIENTS),
  admin_min_workers: unsigned(5, WORKERS),
  admin_max_workers: unsigned(20, WORKERS),
  admin_max_clients: unsigned(5000, LIVE),
  admin_max_queued_clients: unsigned(20, LIVE),
  admin_max_client_requests: unsigned(5, ADMIN_CALLS),
  admin_keepalive_interval: signed(5, ADMIN_KEEPALIVE),
  admin_keepalive_count: unsigned(5, ADMIN_KEEPALIVE),
  log_level: unsigned(0, LIVE),
  log_filters: optionalString(LIVE),
  log_outputs: optionalString(LIVE),
  audit_level: unsigned(1, AUDIT),
  audit_logging: boolean(false, AUDIT),
  host_uuid: optionalString(HOST_UUID),
  host_uuid_source: optionalString(HOST_UUID),
  ovs_timeout: unsigned(5, never('a broker does not talk to Open vSwitch')),
  keepalive_required: obsolete,
  admin_keepalive_required: obsolete,
  mdns_adv: obsolete,
  mdns_name: obsolete,
  max_requests: obsolete,
  log_buffer_size: obsolete,

  driver_socket_dir: optionalString(LIVE),
  driver_sockets: optionalList(LIVE),
  driver_max_requests: unsigned(4, LIVE),
  driver_connect_timeout: unsigned(30, LIVE),
  driver_open_timeout: unsigned(120, LIVE),
  driver_sharing: string('identity', NEW_CLIENTS),
  driver_pool_size: unsigned(4, LIVE),
  driver_idle_timeout: unsigned(30, LIVE),
  driver_max_idle: unsigned(64, LIVE),
  collapse_reads: boolean(false, LIVE),
  embedded_test_driver: boolean(false, RESTART),
  embedded_test_driver_user: string('nobody', RESTART),
  driver_reconnect: boolean(true, LIVE),
  login_timeout: unsigned(60, NEW_CLIENTS),
  client_stall_timeout: unsigned(60, LIVE),
  close_timeout: unsigned(10, LIVE),
  shutdown_timeout: unsigned(30, LIVE),
  drain_delay: unsigned(0, LIVE),
  max_handshakes: unsigned(256, LIVE),
  max_clients_per_address: unsigned(0, NEW_CLIENTS),
  max_clients_per_user: unsigned(0, NEW_CLIENTS),
  proxy_protocol: string('off', NEW_CLIENTS),
  proxy_trusted: optionalList(NEW_CLIENTS),
  proxy_tls_identity: boolean(false, NEW_CLIENTS),
  system_bus_address: string('', RESTART),
  procedure_policy: optionalList(NEW_CLIENTS),
  shield: boolean(true, NEW_CLIENTS),
  tls_watch_files: boolean(false, LIVE),
  actor_threads: unsigned(0, RESTART),
  actor_min_clients: unsigned(128, LIVE),
  log_format: string('text', LIVE),
  audit_output: string('', NEW_CLIENTS),
  audit_reads: boolean(false, NEW_CLIENTS),
  audit_fail_closed: boolean(false, LIVE),
  metrics_listen: string('', RESTART),
  metrics_token: optionalString(LIVE),
  thread_module: optionalString(RESTART),
  slow_call_ms: unsigned(0, NEW_CLIENTS)
} as const

export type KeyName = keyof typeof KEYS

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelCase<Tail>>}` : S
type ValueOf<N extends KeyName> = (typeof KEYS)[N] extends Key<infer T> ? T : never
/** The values of all keys, by the key's name in camel case (`listen_tls` is `listenTls`); obsolete keys left out. */
export type Settings = {
  [N in KeyName as [ValueOf<N>] extends [undefined] ? never : CamelCase<N>]: ValueOf<N>
}

/** What a configuration file says. */
export interface FileContents {
  settings: Settings
  /** The known keys that the file sets. */
  given: ReadonlySet<KeyName>
  /** Names that nobody knows, with the line of each. libvirt ignores them without a word. */
  unknown: readonly { name: string; line: number }[]
}

export const keyNames = Object.keys(KEYS) as KeyName[]

export const fieldName = (key: string): string =>
  key.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase())

/** Checks the types of the assignments. One bad key makes the whole file unusable, as in libvirt. */
export function readSettings(assignments: ReadonlyMap<string, Assignment>, fileName: string): FileContents {
  const settings: Record<string, unknown> = {}
  const given = new Set<KeyName>()
  for (const name of keyNames) {
    const key: Key<unknown> = KEYS[name]
    const found = assignments.get(name)
    settings[fieldName(name)] = found === undefined ? key.default : key.read(found.value, name, fileName)
    if (found !== undefined) given.add(name)
  }
  const unknown = [...assignments]
    .filter(([name]) => !Object.hasOwn(KEYS, name))
    .map(([name, { line }]) => ({ name, line }))
  return { settings: settings as unknown as Settings, given, unknown }
}

/** What is loaded, but for keys that need a restart, which stay as they run. `waiting`: those of them that have changed. */
export function keepForRestart(loaded: Settings, running: Settings): { written: Settings; waiting: KeyName[] } {
  const value = (settings: Settings, name: KeyName): unknown => settings[fieldName(name) as keyof Settings]
  const kept = keyNames.filter(name => {
    const { effect } = KEYS[name]
    return effect.when === 'now' && effect.reach === 'restart'
  })
  return {
    written: { ...loaded, ...Object.fromEntries(kept.map(name => [fieldName(name), value(running, name)])) },
    waiting: kept.filter(name => !isDeepStrictEqual(value(loaded, name), value(running, name)))
  }
}
