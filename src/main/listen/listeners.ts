import { SOURCE } from '../../workers/base/log.js'
import { close } from '../../workers/os/libc.js'
import { Listener, type ListenerHandler } from '../../workers/os/listener.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { listenAgain, queueOf } from '../../workers/os/listening-sockets.js'
import type { ForeignCloser } from '../../workers/os/foreign-close.js'
import type { Poller } from '../../workers/os/poller.js'
import type { Logger } from '../log/logger.js'
import { NetworkChange } from './network.js'
import type { NetworkPlace } from './places.js'
import type { OpenedSocket } from './sockets.js'

export interface ListenersOwner {
  readonly poller: Poller
  readonly closer: ForeignCloser
  readonly logger: Pick<Logger, 'info' | 'log'>
  /** Who gets the connections. */
  handlerOf(kind: ListenerKind): ListenerHandler
  /** Of a listener that there was not before. */
  newKind(name: NetworkPlace['name']): ListenerKind
}

/** All that the broker listens on. */
export class Listeners {
  readonly #owner: ListenersOwner
  #all: Listener[] = []
  /** Connections are counted by these, also when the sockets are others. */
  readonly #kinds = new Map<string, ListenerKind>()
  #closed = false

  constructor(owner: ListenersOwner) {
    this.#owner = owner
  }

  /** Connections that wait to be accepted at the sockets of a listener, and how many may; where the kernel tells. */
  get queues(): { listener: string; waiting: number; limit: number }[] {
    return this.#all.flatMap(({ kind, fd }) => {
      const queue = queueOf(fd)
      return queue === undefined ? [] : [{ listener: kind.name, ...queue }]
    })
  }

  /** How many there are for clients. */
  get forClients(): number {
    return this.#all.filter(({ kind }) => kind.name !== 'admin').length
  }

  /** Their connections are taken from now on; after the end they are closed. */
  open(opened: readonly OpenedSocket[]): void {
    const { poller, closer, logger } = this.#owner
    for (const { kind, socket } of opened) {
      if (this.#closed) {
        close(socket.fd)
        continue
      }
      this.#kinds.set(kind.name, kind)
      this.#all.push(new Listener(kind, socket, poller, closer, this.#owner.handlerOf(kind)))
      logger.info(SOURCE.listener, `listening on ${socket.place}`)
    }
  }

  /** Prepares what makes these the only places on the network. Throws StartupError, and has changed nothing then. */
  change(places: readonly NetworkPlace[], backlog: number): NetworkChange {
    return new NetworkChange(places, this.#all, backlog, {
      kindOf: name => this.#kinds.get(name) ?? this.#owner.newKind(name),
      lost: (listener, { message }) => {
        this.#notAgain(listener, message)
        // It would be ready for ever, and a later reload can have its place anew.
        this.close([listener])
      }
    })
  }

  close(listeners: readonly Listener[]): void {
    this.#all = this.#all.filter(listener => !listeners.includes(listener))
    for (const listener of listeners) {
      listener.close()
      this.#owner.logger.info(SOURCE.listener, `no longer listening on ${listener.place}`)
    }
  }

  /** Closes those on which no other process can ever listen. There will be no others. */
  closeOwn(): void {
    this.#closed = true
    this.close(this.#all.filter(({ socket }) => !socket.shared))
  }

  /** Those that are left, the caller's to close. There will be no others. */
  end(): Listener[] {
    this.#closed = true
    return this.#all.splice(0)
  }

  /** Connections of one socket of a kind that may wait. Never throws: a socket that refuses it keeps what it has. */
  setBacklog(backlogOf: (kind: ListenerKind) => number): void {
    for (const listener of this.#all) {
      try {
        listenAgain(listener.socket, backlogOf(listener.kind))
      } catch (error) {
        this.#notAgain(listener, (error as Error).message)
      }
    }
  }

  /** Those that were told to take no more go on: all of them, or those of a kind. */
  resume(kind?: ListenerKind): void {
    for (const listener of this.#all) if (kind === undefined || listener.kind === kind) listener.resume()
  }

  #notAgain({ kind }: Listener, message: string): void {
    this.#owner.logger.log('listener-not-again', SOURCE.listener, message, { listener: kind.name })
  }
}
