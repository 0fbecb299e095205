/** What the name in CONNECT_OPEN means: which driver, and what to call it there. */

import { CODE, DOMAIN, internalError, templated, type RemoteError } from './errors.js'
import { formatLocalUri, formatQuery, parseQuery, parseUri, textOf, type ParsedUri } from './uri-syntax.js'

/** Drivers whose sockets are looked for, in this order, when a client names none. */
export const PROBE_ORDER_SYSTEM = ['xen', 'qemu', 'lxc', 'vbox', 'bhyve', 'vz'] as const
export const PROBE_ORDER_SESSION = ['qemu', 'vbox'] as const

export interface ResolvedName {
  /** The driver, without a transport: `qemu`. Case counts. */
  scheme: string
  /** Unescaped: `/system`, `/session`, `/default`; empty when the name has none. */
  path: string
  /** The name to open at the driver daemon. Empty: it probes for itself. */
  upstreamName: string
  /** What CONNECT_GET_URI tells the client. */
  reportedUri: string
  /** Whoever opens the name reads a file that it names. */
  opensFile: boolean
  /** The client's wish to use this socket. Not checked here against any policy. */
  socketParam?: string
}

export interface NameOptions {
  /** `uri_aliases` of libvirt.conf, see aliasMap. */
  aliases: ReadonlyMap<string, string>
}

const invalidArgument = (detail: string): RemoteError =>
  templated(CODE.invalidArg, DOMAIN.remote, 'invalid argument: %1$s', detail)
const noDriver = (detail: string): RemoteError =>
  templated(CODE.noConnect, DOMAIN.none, 'no connection driver available for %1$s', detail)
const unparsable = (name: string): RemoteError => internalError(`Unable to parse URI ${name}`, DOMAIN.uri)

// libvirtd would connect there, with its own credentials, or start a program; a broker must not on a client's word.
const notLocal = (name: string): RemoteError => noDriver(`${name} (only local drivers can be opened here)`)

/**
 * Undefined for an absent or empty name: the caller looks for a driver's socket.
 * Throws the RemoteError that the client gets.
 */
export function resolveName(name: string | undefined, options: NameOptions): ResolvedName | undefined {
  if (!name) return undefined
  const full = isXen(name) ? 'xen:///system' : (options.aliases.get(name) ?? name)
  const uri = parseUri(full)
  if (!uri) throw unparsable(full)
  // libvirt prints `lxc:host/x` as `lxc://host/x`, so the daemon would see a host where this parser saw none.
  if (rootless(uri)) return resolveName(formatLocalUri(uri), options)
  refuseMissingSlash(full, uri)
  if (!uri.scheme) throw noDriver(`URI '${full}' does not include a driver name`)
  refuseClientOnly(uri.scheme)
  const plus = uri.scheme.indexOf('+')
  if (plus < 0 ? uri.host : !isUnix(uri.scheme.slice(plus + 1), uri.host)) throw notLocal(full)
  const scheme = plus < 0 ? uri.scheme : uri.scheme.slice(0, plus)
  const { name: chosen, socket, rest } = takeParameters(uri.query)
  const opened = chosen === undefined ? { ...uri, scheme } : localTarget(chosen)
  return {
    scheme,
    path: textOf(uri.path),
    upstreamName: chosen ?? (scheme === 'remote' ? '' : formatLocalUri({ ...uri, scheme, user: '', query: rest })),
    reportedUri: formatLocalUri(uri),
    opensFile: isFile(opened),
    ...(socket !== undefined && { socketParam: socket })
  }
}

/** Entries of `uri_aliases`: `name=uri`. The first of two equal names wins. Throws Error for a malformed entry. */
export function aliasMap(entries: readonly string[]): Map<string, string> {
  const aliases = new Map<string, string>()
  for (const entry of entries) {
    const equals = entry.indexOf('=')
    const name = entry.slice(0, equals)
    const malformed = `Malformed 'uri_aliases' config entry '${entry}'`
    if (equals <= 0) throw new Error(`${malformed}, expected 'alias=uri://host/path'`)
    if (!/^[A-Za-z0-9_-]+$/.test(name)) throw new Error(`${malformed}, aliases may only contain 'a-Z, 0-9, _, -'`)
    if (!aliases.has(name)) aliases.set(name, entry.slice(equals + 1))
  }
  return aliases
}

const rootless = (uri: ParsedUri): boolean => uri.path !== '' && !uri.path.startsWith('/')

/** The one driver that may be named without any URI, for old clients. */
const isXen = (name: string): boolean => name.toLowerCase() === 'xen' || name === 'xen://'

/** `qemu://system` would be a host called "system": a mistake made so often that libvirt has a text for it. */
function refuseMissingSlash(name: string, uri: ParsedUri): void {
  const wanted = ['qemu', 'vbox', 'vz'].includes(uri.scheme) && ['system', 'session'].includes(uri.host)
  const empty = uri.path === '' || uri.path === '/'
  if (!wanted || !empty) return
  throw internalError(`invalid URI ${name} (maybe you want ${uri.scheme}:///${uri.host})`, DOMAIN.none)
}

/** Drivers that live in a client's library and talk to a hypervisor over the network; no daemon has them. */
function refuseClientOnly(scheme: string): void {
  if (!['esx', 'vpx', 'gsx', 'hyperv', 'parallels'].includes(scheme.toLowerCase())) return
  const detail = `libvirt was built without the '${scheme}' driver`
  throw templated(CODE.configUnsupported, DOMAIN.none, 'unsupported configuration: %1$s', detail)
}

/** False for the other transports that libvirt knows. Throws for those that it does not know either. */
function isUnix(transport: string, host: string): boolean {
  const known = 'tls|unix|ssh|ext|tcp|libssh2|libssh'
  const lower = transport.toLowerCase()
  if (!known.split('|').includes(lower)) {
    throw invalidArgument(`remote_open: transport in URL not recognised (should be ${known})`)
  }
  if (lower === 'unix' && host) {
    throw invalidArgument(`using unix socket and remote server '${host}' is not supported.`)
  }
  return lower === 'unix'
}

/** Parameters that are meant for the opener, so that they do not travel on. All but three have no meaning for a local socket. */
export const CONSUMED: ReadonlySet<string> = new Set([
  'name', 'command', 'socket', 'auth', 'sshauth', 'netcat', 'keyfile', 'pkipath', 'known_hosts', 'known_hosts_verify',
  'tls_priority', 'mode', 'proxy', 'no_sanity', 'no_verify', 'no_tty', 'authfile'
])

function takeParameters(query: string): { name?: string; socket?: string; rest: string } {
  const taken: { name?: string; socket?: string } = {}
  const rest = parseQuery(query).filter(parameter => {
    const key = parameter.name.toLowerCase()
    const value = textOf(parameter.value)
    if (key === 'name' || key === 'socket') taken[key] = value
    if (key === 'mode') checkMode(value)
    return !CONSUMED.has(key)
  })
  return { ...taken, rest: formatQuery(rest) }
}

function checkMode(mode: string): void {
  if (mode === 'direct') return
  if (mode === 'auto' || mode === 'legacy') throw invalidArgument('Connections from inside daemon must be direct')
  throw invalidArgument(`Unknown remote mode '${mode}'`)
}

/** A `name=` goes to the driver daemon as it is: it must not make *that* one connect somewhere or start a program. */
function localTarget(name: string): ParsedUri {
  const uri = parseUri(name)
  if (!uri) throw unparsable(name)
  const consumed = parseQuery(uri.query).some(parameter => CONSUMED.has(parameter.name.toLowerCase()))
  const elsewhere = uri.host !== '' || (uri.scheme !== '' && rootless(uri)) || uri.scheme.includes('+')
  if (elsewhere || consumed || uri.scheme.toLowerCase() === 'remote') throw notLocal(name)
  return uri
}

/** All others that the test driver knows are descriptions of its own, or none at all. */
const isFile = ({ scheme, path }: ParsedUri): boolean =>
  scheme.toLowerCase() === 'test' && !['', '/', '/default'].includes(path)
