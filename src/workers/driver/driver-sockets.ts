import path from 'node:path'
import { CODE, DOMAIN, templated, type RemoteError } from '../../protocol/errors.js'
import { PROBE_ORDER_SESSION, PROBE_ORDER_SYSTEM, type ResolvedName } from '../../protocol/uri.js'
import type { ActorSettings } from '../settings.js'

/** A socket to try, and what to open there. */
export interface Candidate {
  path: string
  /** Name for the daemon's CONNECT_OPEN. */
  name: string
  /** What CONNECT_GET_URI says afterwards; undefined: what the daemon says. */
  uri: string | undefined
}

const readOnlyPath = (socket: string, readonly: boolean): string => (readonly ? `${socket}-ro` : socket)

/**
 * The sockets that may serve a name, best first: one that the configuration names for the scheme, the modular daemon's
 * own, a monolithic libvirtd's, the embedded test driver's. Whoever tries them goes on to the next where no socket
 * file is found. Never empty. Throws RemoteError if the client asks for a socket that is none of a driver's.
 */
export function candidatesFor(resolved: ResolvedName, readonly: boolean, settings: ActorSettings): Candidate[] {
  const open = { name: resolved.upstreamName, uri: resolved.reportedUri }
  if (resolved.socketParam !== undefined) {
    return [{ ...open, path: permittedSocket(resolved.socketParam, settings) }]
  }
  return socketsOf(resolved.scheme, settings).map(socket => ({ ...open, path: readOnlyPath(socket, readonly) }))
}

/** The sockets to probe for a client that gave no name: the first that exists says which hypervisor it gets. */
export function probeCandidates(readonly: boolean, settings: ActorSettings): Candidate[] {
  const order = settings.privileged ? PROBE_ORDER_SYSTEM : PROBE_ORDER_SESSION
  const place = settings.privileged ? 'system' : 'session'
  const explicit = new Map(settings.driverSockets)
  const candidates: Candidate[] = order.map(scheme => ({
    path: readOnlyPath(explicit.get(scheme) ?? modularSocket(scheme, settings), readonly),
    name: `${scheme}:///${place}`,
    uri: `${scheme}:///${place}`
  }))
  // A monolithic daemon probes for itself when it is given an empty name.
  for (const socket of monolithicSockets(settings)) {
    candidates.push({ path: readOnlyPath(socket, readonly), name: '', uri: undefined })
  }
  if (settings.testDriverSocket !== undefined) {
    const uri = 'test:///default'
    candidates.push({ path: readOnlyPath(settings.testDriverSocket, readonly), name: uri, uri })
  }
  return candidates
}

function socketsOf(scheme: string, settings: ActorSettings): string[] {
  const explicit = new Map(settings.driverSockets).get(scheme)
  if (explicit !== undefined) return [explicit]
  if (scheme === 'test' && settings.testDriverSocket !== undefined) return [settings.testDriverSocket]
  return [modularSocket(scheme, settings), ...monolithicSockets(settings)]
}

/** Whether the configuration names the socket, or the one beside which it stands for read-only clients. */
export const isConfigured = (socket: string, settings: ActorSettings): boolean =>
  settings.driverSockets.some(([, known]) => socket === known || socket === `${known}-ro`)

/** The drivers that have daemons of their own. */
const DRIVERS: readonly string[] = [
  'qemu', 'xen', 'lxc', 'vbox', 'bhyve', 'vz', 'ch', 'network', 'storage', 'interface', 'nodedev', 'nwfilter', 'secret'
]

function modularSocket(scheme: string, settings: ActorSettings): string {
  return path.join(settings.driverSocketDir, `virt${scheme}d-sock`)
}

/** libvirtd's socket, configured or found in the usual place, unless we listen there ourselves. */
function monolithicSockets(settings: ActorSettings): string[] {
  const explicit = new Map(settings.driverSockets).get('*')
  if (explicit !== undefined) return [explicit]
  const usual = path.join(settings.driverSocketDir, 'libvirt-sock')
  return settings.ownSockets.includes(usual) ? [] : [usual]
}

/**
 * A broker must not connect anywhere on a client's word: only to sockets named by the configuration, or in the
 * directory of the driver sockets, and never to itself.
 */
function permittedSocket(asked: string, settings: ActorSettings): string {
  const socket = path.normalize(asked)
  const named = isConfigured(socket, settings)
  const inPlace = path.dirname(socket) === path.normalize(settings.driverSocketDir)
  const own = settings.ownSockets.includes(socket)
  if (path.isAbsolute(socket) && !own && (named || inPlace)) return socket
  throw templated(
    CODE.invalidArg,
    DOMAIN.remote,
    'invalid argument: %1$s',
    `socket '${asked}' is not the socket of a driver daemon`
  )
}

/** The units of systemd that listen on these sockets, by the names that daemons give them. */
export function unitsFor(paths: readonly string[]): string[] {
  const units = paths.map(socket => {
    const name = path.basename(socket).replace(/-ro$/, '')
    if (name === 'libvirt-sock') return 'libvirtd.socket'
    const driver = DRIVERS.find(known => name === `virt${known}d-sock`)
    return driver && `virt${driver}d.socket`
  })
  return [...new Set(units.filter(unit => unit !== undefined))]
}

/** What virtproxyd says when there is nothing to probe for. */
export function noDriver(): RemoteError {
  return templated(CODE.internalError, DOMAIN.rpc, 'internal error: %1$s', 'connection not open')
}
