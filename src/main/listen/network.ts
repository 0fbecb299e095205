import { endpointText } from '../../workers/os/address.js'
import { close, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT } from '../../workers/os/libc.js'
import type { Listener } from '../../workers/os/listener.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { ListenError, listenAgain, listenTcp, stopListening, type ListeningSocket } from '../../workers/os/listening-sockets.js'
import { cannotListen } from './cannot-listen.js'
import type { NetworkPlace } from './places.js'

/** Somebody listens there already. */
export class AddressTaken extends Error {
  constructor(
    message: string,
    readonly ip: string,
    readonly port: number
  ) {
    super(message)
  }
}

/** Addresses that this host does not have, or not of this family. */
const NOT_HERE: readonly number[] = [EADDRNOTAVAIL, EAFNOSUPPORT]

/**
 * Has each address of a place taken. As virtproxyd, addresses that are not there are passed over as long as one can be
 * had. Throws AddressTaken, or StartupError.
 */
export function takePlace({ ips, port }: NetworkPlace, take: (ip: string) => void): void {
  let notHere: ListenError | undefined
  let had = 0
  for (const ip of ips) {
    try {
      take(ip)
      had++
    } catch (error) {
      if (!(error instanceof ListenError)) throw error
      if (error.errno === EADDRINUSE) throw new AddressTaken(error.message, ip, port)
      if (!NOT_HERE.includes(error.errno)) throw cannotListen(error.message)
      notHere = error
    }
  }
  if (had === 0 && notHere !== undefined) throw cannotListen(notHere.message)
}

export interface NetworkChangeOwner {
  /** Of a listener's connections. */
  kindOf(name: NetworkPlace['name']): ListenerKind
  /** It had made way for others and cannot listen again: nobody can connect there any more. */
  lost(listener: Listener, error: Error): void
}

const keyOf = (name: string, ip: string, port: number): string => `${name} ${endpointText({ ip, port })}`

/**
 * The sockets for the network as they are to be from now on: those that are missing have been taken, and those that are
 * to go are named. Until these are closed all of it can be undone.
 */
export class NetworkChange {
  readonly added: { kind: ListenerKind; socket: ListeningSocket }[] = []
  readonly removed: readonly Listener[]
  /** Of `removed`: they do not listen any more, because others could not have had their ports. */
  readonly #silent: Listener[] = []

  /** Throws StartupError, and has changed nothing then. */
  constructor(
    wanted: readonly NetworkPlace[],
    there: readonly Listener[],
    readonly backlog: number,
    readonly owner: NetworkChangeOwner
  ) {
    const wantedKeys = new Set(wanted.flatMap(({ name, port, ips }) => ips.map(ip => keyOf(name, ip, port))))
    const network = there.filter(({ kind }) => kind.transport !== 'unix')
    const listening = new Map(network.map(listener => [`${listener.kind.name} ${listener.place}`, listener]))
    this.removed = [...listening].filter(([key]) => !wantedKeys.has(key)).map(([, listener]) => listener)
    try {
      for (const place of wanted) {
        const { name, port } = place
        takePlace(place, ip => {
          if (listening.has(keyOf(name, ip, port))) return
          this.added.push({ kind: owner.kindOf(name), socket: this.#take(ip, port) })
        })
      }
    } catch (error) {
      this.undo()
      throw error instanceof AddressTaken ? cannotListen(error.message) : error
    }
  }

  /** Never throws, and does all of it: somebody else may have taken a port in the meantime. */
  undo(): void {
    for (const { socket } of this.added.splice(0)) close(socket.fd)
    for (const listener of this.#silent.splice(0)) {
      try {
        listenAgain(listener.socket, this.backlog)
      } catch (error) {
        this.owner.lost(listener, error as Error)
      }
    }
  }

  #take(ip: string, port: number): ListeningSocket {
    try {
      return listenTcp(ip, port, this.backlog)
    } catch (error) {
      if (!(error instanceof ListenError) || error.errno !== EADDRINUSE || !this.#silence(port)) throw error
      return listenTcp(ip, port, this.backlog)
    }
  }

  /** Whether any of those that are to go was in the way: 127.0.0.1 keeps all addresses together from being taken. */
  #silence(port: number): boolean {
    const loud = this.removed.filter(listener => listener.place.endsWith(`:${port}`) && !this.#silent.includes(listener))
    for (const { socket } of loud) stopListening(socket)
    this.#silent.push(...loud)
    return loud.length > 0
  }
}
