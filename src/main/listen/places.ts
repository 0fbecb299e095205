import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { dirname, join } from 'node:path'
import { groupId } from '../../workers/names/lookup.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { fitsUnixAddress, pathTooLong } from '../../workers/os/listening-sockets.js'
import type { ListenerName } from '../config/listeners.js'
import type { Config } from '../config/load.js'
import { servicePort, UNKNOWN_NAME } from '../config/port.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import { cannotListen } from './cannot-listen.js'

export interface UnixPlace {
  kind: ListenerKind
  path: string
  mode: number
  /** Connections that may wait to be accepted. */
  backlog: number
  /** A symbolic link beside it that leads to it. */
  alias?: string
}

/** A port of a listener for the network. */
export interface Port {
  name: 'tcp' | 'tls'
  /** As configured. */
  service: string
  port: number
}

/** A port with the numeric addresses on which it is to be taken. */
export interface NetworkPlace extends Port {
  ips: readonly string[]
}

/** Where a configuration wants us to listen, but for addresses of the network. */
export interface Places {
  unix: UnixPlace[]
  ports: Port[]
  group: number | undefined
}

/** `virt-admin -c virtproxyd:///system` looks for this, and `libvirtd:///system` for the name that the socket has. */
const ADMIN_ALIAS = 'virtproxyd-admin-sock'

/** Throws StartupError for what could never be listened on. Asks nobody but the name service. */
export async function listeningPlaces(config: Config): Promise<Places> {
  const { sockets, unixSockRwPerms, unixSockRoPerms, unixSockAdminPerms, maxQueuedClients, adminMaxQueuedClients } = config
  const group = socketGroup(config.unixSockGroup)
  const backlog = maxQueuedClients
  const unix: UnixPlace[] = [{ kind: listenerKind('main', config), path: sockets.main, mode: unixSockRwPerms, backlog }]
  if (sockets.readOnly !== undefined) {
    unix.push({ kind: listenerKind('readonly', config), path: sockets.readOnly, mode: unixSockRoPerms, backlog })
  }
  if (sockets.admin !== undefined) {
    const path = sockets.admin
    // Nothing can lead to an abstract name.
    const alias = path.startsWith('@') ? {} : { alias: join(dirname(path), ADMIN_ALIAS) }
    unix.push({ kind: listenerKind('admin', config), path, mode: unixSockAdminPerms, backlog: adminMaxQueuedClients, ...alias })
  }
  const tooLong = unix.find(({ path }) => !fitsUnixAddress(path))
  if (tooLong !== undefined) throw cannotListen(pathTooLong(tooLong.path).message)
  return { unix, ports: await networkPorts(config), group }
}

/** Throws StartupError. */
export async function networkPorts({ listenTcp, listenTls, tcpPort, tlsPort }: Config): Promise<Port[]> {
  const found: Port[] = []
  if (listenTcp) found.push({ name: 'tcp', service: tcpPort, port: await servicePort(tcpPort) })
  if (listenTls) found.push({ name: 'tls', service: tlsPort, port: await servicePort(tlsPort) })
  return found
}

/** May have to ask the resolver. Throws StartupError. */
export async function networkPlaces(ports: readonly Port[], listenAddr: string | undefined): Promise<NetworkPlace[]> {
  const places: NetworkPlace[] = []
  for (const port of ports) places.push({ ...port, ips: await addresses(listenAddr, port.service) })
  return places
}

/** Connections are counted by this object: all sockets of one listener share it. */
export function listenerKind(name: ListenerName, { authUnixRw, authUnixRo, authTcp, authTls }: Config): ListenerKind {
  const auth = { main: authUnixRw, readonly: authUnixRo, admin: 'none', tcp: authTcp, tls: authTls } as const
  const transport = name === 'tcp' || name === 'tls' ? name : 'unix'
  return { name, transport, readonly: name === 'readonly', auth: auth[name] }
}

/** The files for which a start makes the directories: sockets of its own. */
export const ownSocketFiles = ({ passed, embeddedTestDriver, sockets }: Config): string[] =>
  passed === undefined || embeddedTestDriver ? [sockets.main] : []

function socketGroup(name: string | undefined): number | undefined {
  if (name === undefined) return undefined
  const group = groupId(name)
  if (group !== undefined) return group
  throw new StartupError(`invalid argument: Failed to parse group '${name.replace(/^\+/, '')}'`, EXIT.network)
}

/** Whether `addresses` has to ask the resolver. */
export const isHostName = (listenAddr: string | undefined): listenAddr is string =>
  listenAddr !== undefined && listenAddr !== '*' && isIP(listenAddr.split('%')[0]!) === 0

/**
 * The numeric addresses to listen on, each once; all of them if none is configured, or an asterisk is, as with
 * getaddrinfo. Throws StartupError.
 */
async function addresses(listenAddr: string | undefined, service: string): Promise<string[]> {
  if (listenAddr === undefined || listenAddr === '*') return ['::', '0.0.0.0']
  if (!isHostName(listenAddr)) return [listenAddr]
  const unresolved = (why: string): StartupError =>
    cannotListen(`Unable to resolve address '${listenAddr}' service '${service}': ${why}`)
  let found: { address: string }[]
  try {
    found = await lookup(listenAddr, { all: true })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw unresolved(code === 'ENOTFOUND' ? UNKNOWN_NAME : message)
  }
  if (found.length === 0) throw unresolved('No address associated with hostname')
  return [...new Set(found.map(({ address }) => address))]
}
