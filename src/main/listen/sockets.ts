import { endpointText } from '../../workers/os/address.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { cannotBind, listenTcp, listenUnix, takeUp, type ListeningSocket } from '../../workers/os/listening-sockets.js'
import { close } from '../../workers/os/libc.js'
import { occupantOf } from '../../workers/os/occupant.js'
import { tcpListener, unixListener } from '../../workers/os/process-info.js'
import type { PassedSockets } from '../config/listeners.js'
import type { Config } from '../config/load.js'
import type { StartupError } from '../config/startup-error.js'
import { withAlias } from './alias.js'
import { cannotListen, listening } from './cannot-listen.js'
import { inUse } from './in-use.js'
import { AddressTaken, takePlace } from './network.js'
import { listenerKind, listeningPlaces, networkPlaces, type Places } from './places.js'

export interface OpenedSocket {
  kind: ListenerKind
  socket: ListeningSocket
}

/** Of a start that was given its sockets. */
const NO_PLACES: Places = { unix: [], ports: [], group: undefined }

/**
 * All sockets that we listen on: those that systemd has made, or else our own. A start that fails because somebody else
 * has one of the places has touched none of them: first each UNIX socket that is there is asked whether anybody listens,
 * and each port is taken; only then are dead UNIX sockets replaced.
 */
export class ListeningSockets {
  /** Passed ones, or ports that are taken. */
  readonly #there: OpenedSocket[] = []

  private constructor(
    readonly places: Places,
    readonly backlog: number
  ) {}

  /**
   * Takes the ports; connections wait from then on. `others`: paths of UNIX sockets that are to be made elsewhere.
   * Throws StartupError.
   */
  static async claim(config: Config, others: readonly string[]): Promise<ListeningSockets> {
    const { passed } = config
    const places = passed === undefined ? await listeningPlaces(config) : NO_PLACES
    for (const path of [...places.unix.map(place => place.path), ...others]) await mustBeFree(path)
    const sockets = new ListeningSockets(places, config.maxQueuedClients)
    try {
      if (passed !== undefined) sockets.#takeUp(passed, config)
      await sockets.#takePorts(config)
    } catch (error) {
      sockets.close()
      throw error
    }
    return sockets
  }

  /** Makes the UNIX sockets, and hands over all that there are. Throws StartupError. */
  open(): OpenedSocket[] {
    const opened: OpenedSocket[] = []
    try {
      for (const { kind, path, mode, backlog, alias } of this.places.unix) {
        const socket = listening(() => listenUnix(path, mode, this.places.group, backlog))
        opened.push({ kind, socket: alias === undefined ? socket : withAlias(socket, alias) })
      }
    } catch (error) {
      closeAll(opened)
      throw error
    }
    return [...opened, ...this.#there.splice(0)]
  }

  /** Closes what has not been handed over. */
  close(): void {
    closeAll(this.#there.splice(0))
  }

  #takeUp(passed: PassedSockets, config: Config): void {
    for (const [name, its] of passed) {
      const kind = listenerKind(name, config)
      const backlog = name === 'admin' ? config.adminMaxQueuedClients : config.maxQueuedClients
      for (const { fd, place } of its) this.#there.push({ kind, socket: listening(() => takeUp(fd, place, backlog)) })
    }
  }

  async #takePorts(config: Config): Promise<void> {
    for (const place of await networkPlaces(this.places.ports, config.listenAddr)) {
      const { name, port } = place
      const kind = listenerKind(name, config)
      try {
        takePlace(place, ip => void this.#there.push({ kind, socket: listenTcp(ip, port, this.backlog) }))
      } catch (error) {
        throw error instanceof AddressTaken ? await portTaken(error, name) : error
      }
    }
  }
}

async function mustBeFree(path: string): Promise<void> {
  const occupant = occupantOf(path)
  if (occupant.kind === 'obstacle') throw cannotListen(cannotBind(path, occupant.why).message)
  if (occupant.kind !== 'listener') return
  const pid = occupant.pid ?? unixListener(path)
  throw cannotListen(await inUse({ place: path, pid, key: 'unix_sock_dir' }))
}

async function portTaken({ message, ip, port }: AddressTaken, name: 'tcp' | 'tls'): Promise<StartupError> {
  const place = endpointText({ ip, port })
  const who = await inUse({ place, pid: tcpListener(ip, port), key: `${name}_port or listen_addr` })
  return cannotListen(`${message}; ${who}`)
}

function closeAll(sockets: readonly OpenedSocket[]): void {
  for (const { socket } of sockets) {
    try {
      socket.removeFile()
    } catch {
      // Why the start has failed is what there is to say.
    }
    close(socket.fd)
  }
}
