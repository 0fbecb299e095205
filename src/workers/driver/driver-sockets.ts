import path from 'node:path'
import { CODE, DOMAIN, templated, type RemoteError } from '../../protocol/errors.js'
import { PROBE_ORDER_SESSION, PROBE_ORDER_SYSTEM, type ResolvedName } from '../../protocol/uri.js'
import type { ActorSettings } from '../thread/settings.js'

/** The socket of a daemon. */
export interface DriverSocket {
  path: string
  /** The configuration names this very path, so it does not matter whose it is. */
  named: boolean
}

/** A socket to try, and what to open there. */
export interface Candidate extends DriverSocket {
  /** Name for the daemon's CONNECT_OPEN. */
  name: string
  /** What CONNECT_GET_URI says afterwards; undefined: what the daemon says. */
  uri: string | undefined
}

/** Where a name leads. Whoever tries the sockets goes on to the next where no socket file is found. */
export interface Way {
  /** Best first. */
  candidates: readonly Candidate[]
  /** Path that the error names if no socket is there; undefined for a client that named nothing. */
  sought: string | undefined
  /** Daemons of which one is to be started if nobody listens, best first. */
  starts: readonly string[]
}

/** Drivers that may have a daemon of their own. What else there is beside their sockets, virtlogd's say, is not opened. */
const MODULAR: readonly string[] = [
  'bhyve', 'ch', 'interface', 'lxc', 'network', 'nodedev', 'nwfilter', 'qemu', 'secret', 'storage', 'test', 'vbox', 'vz',
  'xen'
]
/** Daemons have another socket for read-only clients, next to theirs. */
const READ_ONLY = '-ro'

/** A session's daemons have one socket for all. */
const forClient = (socket: DriverSocket, readonly: boolean, { place }: ActorSettings): DriverSocket =>
  readonly && (place === 'system' || socket.named) ? { ...socket, path: socket.path + READ_ONLY } : socket
const configured = (socket: string): DriverSocket => ({ path: socket, named: true })
const inPlace = (socket: string, settings: ActorSettings): DriverSocket => ({
  path: path.join(settings.driverSocketDir, socket),
  named: false
})

/**
 * The way of a name: to a socket that the configuration names for the scheme, the embedded test driver's, or else the
 * modular daemon's own, then a monolithic libvirtd's. Throws RemoteError if the client asks for what it must not have.
 */
export function wayTo(resolved: ResolvedName, readonly: boolean, settings: ActorSettings): Way {
  const { scheme, socketParam, upstreamName, reportedUri } = resolved
  const asked = socketParam === undefined ? undefined : permittedSocket(socketParam, readonly, settings)
  const own = asked ?? driverSocket(scheme, settings)
  if (resolved.opensFile && own.path !== settings.testDriverSocket) throw onlyDefault(upstreamName)
  const modular = MODULAR.includes(scheme) ? [own] : []
  const sockets = own.named || asked !== undefined ? [own] : [...modular, ...monolithicSockets(settings)]
  return {
    candidates: sockets.map(socket => ({ ...forClient(socket, readonly, settings), name: upstreamName, uri: reportedUri })),
    sought: forClient(own, readonly, settings).path,
    starts: resolved.path === '/session' ? startable(sockets, settings) : []
  }
}

/** The way for a client that gave no name: the first socket that exists says which hypervisor it gets. */
export function wayToAny(readonly: boolean, settings: ActorSettings): Way {
  const { place } = settings
  const order = place === 'system' ? PROBE_ORDER_SYSTEM : PROBE_ORDER_SESSION
  const explicit = new Map(settings.driverSockets)
  const to = (socket: DriverSocket, name: string, uri: string | undefined): Candidate => ({
    ...forClient(socket, readonly, settings), name, uri
  })
  const modular = order.map(scheme => {
    const known = explicit.get(scheme)
    return { socket: known === undefined ? modularSocket(scheme, settings) : configured(known), uri: `${scheme}:///${place}` }
  })
  const monolithic = monolithicSockets(settings)
  const candidates = modular.map(({ socket, uri }) => to(socket, uri, uri))
  // A monolithic daemon probes for itself when it is given an empty name.
  for (const socket of monolithic) candidates.push(to(socket, '', undefined))
  if (settings.testDriverSocket !== undefined) {
    const uri = 'test:///default'
    candidates.push(to(configured(settings.testDriverSocket), uri, uri))
  }
  const starts = startable([...modular.map(({ socket }) => socket), ...monolithic], settings)
  return { candidates, sought: undefined, starts }
}

/** Their daemons. What the configuration names is another's to start. */
const startable = (sockets: readonly DriverSocket[], { startsDaemons }: ActorSettings): string[] =>
  startsDaemons ? sockets.flatMap(({ path, named }) => (named ? [] : (daemonOf(path) ?? []))) : []

function driverSocket(scheme: string, settings: ActorSettings): DriverSocket {
  const explicit = new Map(settings.driverSockets).get(scheme)
  if (explicit !== undefined) return configured(explicit)
  const embedded = scheme === 'test' ? settings.testDriverSocket : undefined
  return embedded === undefined ? modularSocket(scheme, settings) : configured(embedded)
}

const MONOLITHIC = 'libvirt-sock'
const modularName = (scheme: string): string => `virt${scheme}d-sock`

const modularSocket = (scheme: string, settings: ActorSettings): DriverSocket =>
  inPlace(modularName(scheme), settings)

const monolithicSocket = (settings: ActorSettings): DriverSocket => inPlace(MONOLITHIC, settings)

/** libvirtd's socket, configured or found in the usual place, unless we listen there ourselves. */
function monolithicSockets(settings: ActorSettings): DriverSocket[] {
  const explicit = new Map(settings.driverSockets).get('*')
  if (explicit !== undefined) return [configured(explicit)]
  const usual = monolithicSocket(settings)
  return settings.ownSockets.includes(usual.path) ? [] : [usual]
}

/**
 * A broker must not connect anywhere on a client's word: only to sockets named by the configuration, or those of driver
 * daemons in their directory, and never to itself. A client may name either socket of a daemon, and gets the one that
 * is for it.
 */
function permittedSocket(asked: string, readonly: boolean, settings: ActorSettings): DriverSocket {
  const socket = path.normalize(asked)
  const { driverSockets, testDriverSocket } = settings
  const known = [
    ...driverSockets.map(([, named]) => configured(named)),
    ...(testDriverSocket === undefined ? [] : [configured(testDriverSocket)]),
    ...MODULAR.map(scheme => modularSocket(scheme, settings)),
    monolithicSocket(settings)
  ]
  const found = known.find(one => socket === one.path || socket === one.path + READ_ONLY)
  if (found !== undefined && !settings.ownSockets.includes(forClient(found, readonly, settings).path)) return found
  throw templated(
    CODE.invalidArg,
    DOMAIN.remote,
    'invalid argument: %1$s',
    `socket '${asked}' is not the socket of a driver daemon`
  )
}

/** The socket of a driver's daemon, of those that clients can be led to. */
export interface KnownSocket extends DriverSocket {
  driver: string
}

/** All of them; `libvirtd` is the daemon for every driver that has none of its own. */
export function knownSockets(settings: ActorSettings): KnownSocket[] {
  const named = settings.driverSockets.filter(([scheme]) => scheme !== '*').map(([driver, path]) => ({ driver, ...configured(path) }))
  const others = MODULAR.filter(driver => named.every(socket => socket.driver !== driver))
  const modular = others.map(driver => ({ driver, ...driverSocket(driver, settings) }))
  const monolithic = monolithicSockets(settings).map(socket => ({ driver: 'libvirtd', ...socket }))
  return [...named, ...modular, ...monolithic].filter(({ path }) => !settings.ownSockets.includes(path))
}

/** Whose socket it is, by the names that daemons give them. */
function daemonOf(socket: string): string | undefined {
  const base = path.basename(socket)
  const name = base.endsWith(READ_ONLY) ? base.slice(0, -READ_ONLY.length) : base
  if (name === MONOLITHIC) return 'libvirtd'
  const driver = MODULAR.find(known => known !== 'test' && name === modularName(known))
  return driver && `virt${driver}d`
}

/** The units of systemd that listen on these sockets. */
export function unitsFor(paths: readonly string[]): string[] {
  const daemons = paths.map(daemonOf).filter(daemon => daemon !== undefined)
  return [...new Set(daemons)].map(daemon => `${daemon}.socket`)
}

/** What virtproxyd says when there is nothing to probe for. */
export function noDriver(): RemoteError {
  return templated(CODE.internalError, DOMAIN.rpc, 'internal error: %1$s', 'connection not open')
}

/** A daemon would open a file on a client's word, with rights that the client does not have. */
function onlyDefault(name: string): RemoteError {
  const detail = `${name} (of the test driver only test:///default can be opened here)`
  return templated(CODE.noConnect, DOMAIN.none, 'no connection driver available for %1$s', detail)
}
