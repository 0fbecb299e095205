import type { ClientRecord, ClientState } from '../../workers/thread/client-record.js'
import type { ListenerState } from './listener-state.js'
import { ownerOf, ROOT } from './owner.js'
import type { Occupant, Shortage, Stage } from './places.js'

/** One client that was given to a thread, and all that is known of it outside its session. */
export interface Client extends ClientRecord, Occupant {
  readonly at: ListenerState
  readonly fd: number
  /** Number of the thread that has it; 0 before it is given to one. */
  thread: number
  /** Its thread was told to close it; its place is free already. */
  leaving: boolean
  /** Under which address or user the client is counted, where there is such a limit. */
  counted: string | undefined
  /** Whose it is, once somebody has asked. */
  owner: string | undefined
}

type Way = Pick<Client, 'listener' | 'via'>

/**
 * How far a client is that came this way and is in this state now; the header of a proxy is a part of the handshake. One that
 * is being closed does not get on by that.
 */
export function stageOf(state: ClientState, { listener: { transport, auth }, via }: Way, before?: Stage): Stage {
  if (state === 'arriving' && (transport === 'tls' || via !== undefined)) return 'handshake'
  const isIn = auth === 'none' || state === 'serving' || state === 'draining' || (state === 'closing' && before === 'in')
  return isIn ? 'in' : 'login'
}

/** Who is connected. */
export class Clients {
  readonly #clients = new Map<number, Client>()
  readonly #notIn = new Map<ListenerState, Set<Client>>()

  get size(): number {
    return this.#clients.size
  }

  get(id: number): Client | undefined {
    return this.#clients.get(id)
  }

  add(client: Client): void {
    this.#clients.set(client.id, client)
    if (client.stage !== 'in') this.#notInAt(client.at).add(client)
  }

  isIn(client: Client): void {
    this.#notInAt(client.at).delete(client)
  }

  delete(client: Client): void {
    this.isIn(client)
    this.#clients.delete(client.id)
  }

  /** In the order in which they came in. */
  all(): Iterable<Client> {
    return this.#clients.values()
  }

  /** Those that have still to log in. */
  get unauthenticated(): number {
    let count = 0
    for (const clients of this.#notIn.values()) for (const { listener } of clients) if (listener.auth !== 'none') count++
    return count
  }

  /** Those that a thread has. */
  *of(thread: number): Generator<Client> {
    for (const client of this.#clients.values()) if (client.thread === thread) yield client
  }

  *leaving(): Generator<Client> {
    for (const client of this.#clients.values()) if (client.leaving) yield client
  }

  /** It is asked for only where places are short: of a UNIX client it costs a system call. */
  ownerOf(client: Client): string {
    return (client.owner ??= ownerOf(client.listener, client.fd, client.peer))
  }

  /** Those that have taken the places of which the listener has too few. */
  *holding(listener: ListenerState, shortage: Shortage): Generator<Client> {
    const stage = shortage === 'handshakes' ? 'handshake' : 'login'
    for (const client of shortage === 'clients' ? this.#clients.values() : this.#notInAt(listener)) {
      const counts = shortage === 'clients' || client.stage === stage
      if (counts && !client.leaving && !client.rootsOwn) yield client
    }
  }

  /** Whether others than root have taken more than so many of them. */
  othersHold(moreThan: number, listener: ListenerState, shortage: Shortage): boolean {
    let others = 0
    for (const client of this.holding(listener, shortage)) {
      if (this.ownerOf(client) !== ROOT && ++others > moreThan) return true
    }
    return false
  }

  /** How many each owner has at the listener that are not in yet. */
  notInByOwner(listener: ListenerState): Map<string, number> {
    const counts = new Map<string, number>()
    for (const client of this.#notInAt(listener)) {
      const owner = this.ownerOf(client)
      counts.set(owner, (counts.get(owner) ?? 0) + 1)
    }
    return counts
  }

  #notInAt(listener: ListenerState): Set<Client> {
    let clients = this.#notIn.get(listener)
    if (clients === undefined) this.#notIn.set(listener, (clients = new Set()))
    return clients
  }
}
