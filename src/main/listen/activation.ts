import { statSync } from 'node:fs'
import { endpoint, endpointText, unixPath } from '../../workers/os/address.js'
import { FD_CLOEXEC, F_SETFD, fcntl, readOption, SO_ACCEPTCONN, SO_TYPE, SOCK_STREAM, SOL_SOCKET } from '../../workers/os/libc.js'
import type { ListenerName, PassedSocket, PassedSockets } from '../config/listeners.js'
import type { StartupError } from '../config/startup-error.js'
import { cannotListen } from './cannot-listen.js'

/** As sd_listen_fds(3) has it. */
const FIRST = 3
const VARIABLES = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES']

/** Descriptors are named after their socket units, unless those say otherwise: our units, or virtproxyd's. */
const UNIT = /^virt(?:broker|proxy)d(?:-(ro|admin|tcp|tls))?\.socket$/
const UNITS = 'virtbrokerd.socket, -ro, -admin, -tcp, -tls, or the same of virtproxyd'

/**
 * The sockets that systemd has made for this process, and its variables taken out of the environment, so that no program
 * that is started from here takes them for its own. Undefined if there are none. What cannot be told to be one of our
 * listeners makes the start fail: systemd would go on listening where nobody ever answers. Throws StartupError.
 */
export function takePassedSockets(env: NodeJS.ProcessEnv, pid = process.pid): PassedSockets | undefined {
  const [meant, , count, names] = VARIABLES.map(name => env[name])
  for (const name of VARIABLES) delete env[name]
  if (meant !== String(pid) || count === undefined || count === '0') return undefined
  if (!/^\d{1,5}$/.test(count)) throw cannotListen(`LISTEN_FDS is '${count}', which is no number of sockets`)
  const number = Number(count)
  for (let fd = FIRST; fd < FIRST + number; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC)
  if (names === undefined) {
    throw cannotListen(`${number} sockets were passed without their names (LISTEN_FDNAMES): ${UNITS}`)
  }
  const list = names.split(':')
  if (list.length !== number) throw cannotListen(`${number} sockets were passed with ${list.length} names`)
  return named(list)
}

function named(names: readonly string[]): PassedSockets {
  const passed = new Map<ListenerName, PassedSocket[]>()
  for (const [index, name] of names.entries()) {
    const listener = listenerOf(name)
    if (listener === undefined) throw cannotListen(`a socket named '${name}' was passed; those that are known: ${UNITS}`)
    const socket = inspect(FIRST + index, name, listener)
    passed.set(listener, [...(passed.get(listener) ?? []), socket])
  }
  return passed
}

function listenerOf(name: string): ListenerName | undefined {
  const match = UNIT.exec(name)
  if (match === null) return undefined
  const part = match[1] as 'ro' | 'admin' | 'tcp' | 'tls' | undefined
  return part === undefined ? 'main' : part === 'ro' ? 'readonly' : part
}

function inspect(fd: number, name: string, listener: ListenerName): PassedSocket {
  const wrong = (what: string): StartupError => cannotListen(`the socket passed as '${name}' ${what}`)
  const is = (option: number, value: number): boolean => readOption(fd, SOL_SOCKET, option)?.readInt32LE(0) === value
  // One of Accept=yes is a connection already.
  if (!is(SO_TYPE, SOCK_STREAM) || !is(SO_ACCEPTCONN, 1)) throw wrong('is none that listens for streams')
  const path = unixPath(fd)
  const address = endpoint(fd, 'local')
  if (listener === 'tcp' || listener === 'tls') {
    if (address === undefined) throw wrong('is no TCP socket')
    return { fd, place: endpointText(address), reach: { ip: address.ip } }
  }
  if (path === undefined) throw wrong('is no UNIX socket with a name')
  return { fd, place: path, reach: { mode: modeOf(path) } }
}

/** Of what cannot be looked at the worst is assumed. */
function modeOf(path: string): number {
  try {
    return path.startsWith('@') ? 0o777 : statSync(path).mode & 0o777
  } catch {
    return 0o777
  }
}
