import { existsSync } from 'node:fs'
import { endpointIn } from '../../../workers/os/address.js'
import { processInfo } from '../../../workers/os/process-info.js'
import type { ListenerName, PassedSocket, PassedSockets } from '../../config/listeners.js'
import { shownUnits, type Unit } from './systemctl.js'

export const SERVICE = 'virtbrokerd.service'
/** The service is bound to the first. */
export const SOCKET_UNITS = new Map<string, ListenerName>([
  ['virtbrokerd.socket', 'main'],
  ['virtbrokerd-ro.socket', 'readonly'],
  ['virtbrokerd-admin.socket', 'admin'],
  ['virtbrokerd-tcp.socket', 'tcp'],
  ['virtbrokerd-tls.socket', 'tls']
])
const PROPERTIES = ['Id', 'ActiveState', 'Listen', 'SocketMode']
/** It is systemd's, and nobody here listens on it. */
const NO_DESCRIPTOR = -1

/** The sockets that systemd gives the broker at a start. Undefined: it makes its own. `pid`: of the broker that runs, if one does. */
export async function systemdSockets(pid: number | undefined): Promise<PassedSockets | undefined> {
  if (process.geteuid!() !== 0 || !existsSync('/run/systemd/system')) return undefined
  if (pid !== undefined && processInfo(pid).service !== SERVICE) return undefined
  const units = await shownUnits([...SOCKET_UNITS.keys()], PROPERTIES)
  return units && socketsOf(units)
}

/** Those of the units that are on. */
export function socketsOf(units: readonly Unit[]): PassedSockets | undefined {
  const sockets = new Map<ListenerName, PassedSocket[]>()
  for (const { Id = '', ActiveState, Listen = '', SocketMode = '' } of units) {
    const listener = SOCKET_UNITS.get(Id)
    if (listener === undefined || ActiveState !== 'active') continue
    const places = Array.from(Listen.matchAll(/^(.+) \(Stream\)$/gm), ([, place]) => place!)
    sockets.set(listener, places.map(place => ({ fd: NO_DESCRIPTOR, place, reach: reachOf(listener, place, SocketMode) })))
  }
  return sockets.has('main') ? sockets : undefined
}

function reachOf(listener: ListenerName, place: string, mode: string): PassedSocket['reach'] {
  if (listener !== 'tcp' && listener !== 'tls') return { mode: parseInt(mode, 8) }
  return { ip: endpointIn(place).ip }
}
