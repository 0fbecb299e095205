import { ListenerKinds, type ListenerKind } from '../../workers/os/listener-kind.js'
import type { Identity } from '../../protocol/identity.js'
import { CLIENT_STATES, NO_IDENTITY, type ClientRecord, type ClientState, type HandOver } from '../../workers/thread/client-record.js'
import type { ClientChange } from '../../workers/thread/control.js'
import { Clients, stageOf, type Client } from './clients.js'
import { ClosedClients } from './closed-clients.js'
import type { ConnectionCounts } from './connection-counts.js'
import type { Places } from './places.js'

/** The threads that clients are given to. What they are told goes with the next `flush`. */
export interface ClientThreads {
  /** Gives a connection to a thread. Returns the thread's number, or undefined if there is none. */
  hand(client: HandOver): number | undefined
  /** Whether the thread was given the descriptor, and has not taken it up. */
  isGiven(fd: number, thread: number): boolean
  /** Has a client closed by its thread if it is still not in. */
  evict(thread: number, id: number): void
  flush(): void
}

/** Who is told of what becomes of clients. */
export interface ClientWatcher {
  /** It has logged in, where it has to. It may be told again. */
  isIn(client: ClientRecord): void
  /** It could not prove who it is, or may not come in. It may try again. */
  loginRefused(client: ClientRecord, why: string): void
  ended(client: ClientRecord, why: string): void
  /** A connection that is closed without having been a client's. `identity`: what the kernel says of it, if it was asked. */
  turnedAway(listener: ListenerKind, peer: string | undefined, why: string, identity?: Identity): void
}

/** Whether somebody has logged in, where he has to. Where not, nobody knows who it is before its session has begun. */
const isIn = ({ stage, state }: Client): boolean => stage === 'in' && state !== 'arriving'

/** What becomes of those that are let in. */
export interface ClientsOwner {
  readonly watcher: ClientWatcher | undefined
  readonly threads: ClientThreads
  /** Closes a connection that no thread was given. */
  closeUnserved(kind: ListenerKind, fd: number): void
  /** The first client has come, or the last has gone. */
  idle(idle: boolean): void
}

/** A connection that has been given a place. */
export type Entrant = Pick<Client, 'at' | 'fd' | 'peer' | 'via' | 'counted' | 'rootsOwn'>

/** Those that were let in: each holds a place, and is counted, from its handing over to its thread until its end. */
export class AdmittedClients {
  readonly all = new Clients()
  readonly closed = new ClosedClients()
  readonly #kinds = new ListenerKinds()
  #ids = 0
  #leaving = 0
  /** That a thread had not taken up when it died, and there was no other. */
  #left: Client[] = []

  /** `freed`: there may be a place for somebody who waits. */
  constructor(
    readonly owner: ClientsOwner,
    readonly places: Places,
    readonly counts: ConnectionCounts,
    readonly freed: () => void
  ) {}

  /** How many were told to go, and have not gone. */
  get leaving(): number {
    return this.#leaving
  }

  /** Those that are in. */
  *in(): Generator<Client> {
    for (const client of this.all.all()) if (isIn(client)) yield client
  }

  enter({ at, fd, peer, via, counted, rootsOwn }: Entrant): void {
    const client: Client = {
      id: ++this.#ids,
      since: Date.now(),
      listener: at.kind,
      peer,
      via,
      identity: NO_IDENTITY,
      state: 'arriving',
      opened: undefined,
      at,
      stage: stageOf('arriving', { listener: at.kind, via }),
      rootsOwn,
      fd,
      thread: 0,
      leaving: false,
      counted,
      owner: undefined
    }
    this.all.add(client)
    this.counts.add(counted)
    this.places.enter(client)
    if (this.all.size === 1) this.owner.idle(false)
    if (this.#hand(client)) return
    this.owner.closeUnserved(at.kind, fd)
    this.ended(client.id, 'there was no thread for it')
  }

  /** Its place is free at once, whenever its thread comes to closing it. */
  evict(client: Client): void {
    client.leaving = true
    this.#leaving++
    this.places.leave(client)
    this.owner.threads.evict(client.thread, client.id)
  }

  /** What its thread says of a client. */
  became({ id, state, identity, opened }: ClientChange): void {
    const client = this.all.get(id)
    if (client === undefined) return
    this.#isNow(client, identity)
    client.opened = opened
    this.#advance(client, state)
  }

  /**
   * Its proxy has told where it is: from now on it counts there. Returns why it must go, if there are too many of that
   * address already.
   */
  cameFrom(client: Client, peer: string): string | undefined {
    client.peer = peer
    client.owner = undefined
    const [counted, limit] = this.counts.counter(client.listener, client.fd, peer)
    const full = counted !== undefined && this.counts.of(counted) >= limit
    // The next is not to be let in for the sake of one that has not gone yet.
    this.counts.remove(client.counted)
    this.counts.add((client.counted = counted))
    return full ? `${counted} has ${limit} connections` : undefined
  }

  /** It counts as a client of another kind; its place is where it came in. */
  countsAs(id: number, listener: ListenerKind): void {
    const client = this.all.get(id)
    if (client !== undefined) client.listener = this.#kinds.one(listener)
  }

  /** It could not log in. */
  loginRefused(id: number, why: string, identity: Identity): void {
    const client = this.all.get(id)
    if (client === undefined) return
    this.#isNow(client, identity)
    this.owner.watcher?.loginRefused(client, why)
  }

  #isNow(client: Client, identity: Identity): void {
    if (Object.keys(identity).length > 0) client.identity = identity
  }

  /** It was to go, and had come in meanwhile. */
  kept(id: number): void {
    const client = this.all.get(id)
    if (client?.leaving !== true) return
    client.leaving = false
    this.#leaving--
    this.places.enter(client)
  }

  /** `state`, `opened`: the last that it had come to, of which nothing may have been heard. */
  ended(id: number, why: string, state?: ClientState, opened?: string): void {
    const client = this.all.get(id)
    if (client === undefined) return
    if (state !== undefined) this.#advance(client, state)
    client.opened = opened ?? client.opened
    this.closed.add(client, why)
    this.owner.watcher?.ended(client, why)
    this.all.delete(client)
    this.counts.remove(client.counted)
    if (client.leaving) this.#leaving--
    else this.places.leave(client)
    if (this.all.size === 0) this.owner.idle(true)
    this.freed()
  }

  /**
   * Connections that the thread had not taken up go to another, now or when there is one; the rest died with it. Returns how
   * many those are. What the thread was told and had not come to died with it too; its clients may be another's now.
   */
  threadDied(thread: number): number {
    const { threads } = this.owner
    // A descriptor's number may stand here twice: the older client has ended, and the news of it did not come through.
    const byFd = new Map([...this.all.of(thread)].map(client => [client.fd, client]))
    const waiting = new Set([...byFd.values()].filter(({ fd }) => threads.isGiven(fd, thread)))
    const lost = [...this.all.of(thread)].filter(client => !waiting.has(client))
    for (const { id } of lost) this.ended(id, 'its thread died')
    this.#left.push(...waiting)
    this.threadStarted()
    return lost.length
  }

  threadStarted(): void {
    const { threads } = this.owner
    this.#left = this.#left.filter(client => !this.#hand(client))
    for (const client of this.all.leaving()) threads.evict(client.thread, client.id)
    threads.flush()
  }

  /** False: there is no thread. */
  #hand(client: Client): boolean {
    const { id, since, listener, peer, via, fd } = client
    const thread = this.owner.threads.hand({ id, since, listener, peer, via, fd })
    if (thread !== undefined) client.thread = thread
    return thread !== undefined
  }

  #advance(client: Client, state: ClientState): void {
    // What comes from a thread is a string of its own.
    client.state = CLIENT_STATES.find(known => known === state)!
    const stage = stageOf(state, client, client.stage)
    if (stage !== client.stage) {
      if (client.leaving) client.stage = stage
      else this.places.advance(client, stage)
      if (stage === 'in') this.all.isIn(client)
      this.freed()
    }
    if (isIn(client)) this.owner.watcher?.isIn(client)
  }
}
