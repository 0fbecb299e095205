import type { LastHeard } from '../../workers/os/last-heard.js'
import type { ListenerKind } from '../../workers/os/listener.js'
import { hasUnread } from '../../workers/os/peek.js'
import { FAILED, EDGE, HUNG_UP, READABLE, type Pollable, type Poller } from '../../workers/os/poller.js'
import type { Admission as HandOver } from '../../workers/settings.js'
import type { BoundedLog } from './bounded-log.js'
import { ConnectionCounts, type Client, type CounterLimits } from './client-table.js'
import type { DescriptorPlan } from './descriptor-plan.js'
import { Eviction, SILENCE_MS, type Candidate, type Claim } from './eviction.js'
import { ownerOf, ROOT } from './owner.js'
import { ListenerPlaces, Places, type Shortage, type Stage } from './places.js'
import { WaitingConnections, type Waiting } from './waiting-connections.js'

export interface AdmissionLimits extends CounterLimits {
  maxAnonymousClients: number
  maxHandshakes: number
}

/** What becomes of those that come, and of those that have to go. */
export interface AdmissionOwner {
  readonly poller: Poller
  readonly lastHeard: LastHeard
  readonly log: BoundedLog
  /** Gives a client to a thread, with the next `flush`. */
  hand(client: HandOver): void
  /** Has a client closed by its thread if it is still not in, with the next `flush`. */
  evict(id: number): void
  flush(): void
  /** Closes a connection that no thread was given. */
  closeUnserved(fd: number): void
  /** Listeners that were told to take no more may ask again. */
  mayAcceptAgain(kind: ListenerKind): void
  /** The first client has come, or the last has gone. */
  idle(idle: boolean): void
}

/** While connections wait, it is looked so often whether somebody must make room. */
const TICK_MS = 50
/** Connections for which room is made at a time. */
const MOST_AT_ONCE = 64
/** Clients that were told to go and have not gone: a thread that hangs would make them ever more. */
const MAX_LEAVING = 256

interface Evictable extends Candidate {
  readonly client: Client
}
/** What has been found out about a listener's clients in one go, by what there is too little of. */
type Evictions = Map<Shortage, Eviction<Evictable>>

/** A connection of the supervisor's that waits for a place. What the client sees is what it would see in the backlog. */
class Arrival implements Waiting, Pollable {
  slot = -1

  constructor(
    readonly admission: Admission,
    readonly listener: ListenerState,
    readonly fd: number,
    readonly peer: string | undefined,
    readonly owner: string,
    readonly counted: string | undefined,
    readonly since: number
  ) {}

  ready(events: number): void {
    if (events & (HUNG_UP | FAILED)) this.admission.gone(this)
    else if (events & READABLE) this.admission.speaks(this)
  }
}

/** What is known of one listener's connections. */
class ListenerState {
  readonly places: ListenerPlaces
  readonly waiting = new WaitingConnections<Arrival>()
  readonly notIn = new Set<Client>()
  /** When somebody who waited last got a place that had become free by itself. */
  movedAt = -Infinity
  /** It was told to accept no more. */
  full = false

  constructor(readonly kind: ListenerKind) {
    this.places = new ListenerPlaces(kind)
  }

}

/** Which connections are served, which wait, and which must go (docs/reliability.md, Admission). */
export class Admission {
  readonly clients = new Map<number, Client>()
  readonly #counts: ConnectionCounts
  readonly #places: Places
  readonly #listeners = new Map<ListenerKind, ListenerState>()
  #ids = 0
  #waiting = 0
  #leaving = 0
  #turn = 0
  #filling = false
  #lookAgainAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    readonly limits: AdmissionLimits,
    readonly plan: DescriptorPlan,
    readonly owner: AdmissionOwner
  ) {
    const { clients, guaranteed } = plan
    this.#places = new Places({ clients, guaranteed, logins: limits.maxAnonymousClients, handshakes: limits.maxHandshakes })
    this.#counts = new ConnectionCounts(limits)
  }

  // Connections come

  mayAccept(kind: ListenerKind): boolean {
    const listener = this.#listener(kind)
    listener.full = !this.#mayAccept(listener)
    if (listener.full) this.#arm()
    return !listener.full
  }

  #mayAccept(listener: ListenerState): boolean {
    const shortage = this.#places.shortage(listener.places)
    if (shortage === undefined || this.#turnsAway(shortage) || this.#mayWait(listener)) return true
    const { kind, waiting, movedAt } = listener
    const now = performance.now()
    if ((waiting.longestSilent?.since ?? now) < now - SILENCE_MS) return true
    // Among them may be root.
    return kind.transport === 'unix' && movedAt < now - SILENCE_MS
  }

  /** `place`: of the listener, for the log. */
  accepted(kind: ListenerKind, place: string, fd: number, peer: string | undefined): void {
    const listener = this.#listener(kind)
    // Descriptors are given out from the lowest, so this one tells how many are in use.
    if (fd >= this.plan.firstReserved) return this.#refuse('descriptors', fd, peer ?? place, NO_DESCRIPTORS)
    const [counted, limit] = this.#counts.counter(kind, fd, peer)
    if (counted !== undefined && this.#counts.of(counted) >= limit) {
      return this.#refuse('counted', fd, peer ?? place, `${counted} has ${limit} connections`)
    }
    const shortage = this.#places.shortage(listener.places)
    if (shortage === undefined && listener.waiting.size === 0) return this.#enter(listener, fd, peer, counted)
    const owner = ownerOf(kind, fd, peer)
    if (shortage !== undefined && this.#turnsAway(shortage) && owner !== ROOT) {
      if (this.#makeRoomAtOnce(listener, owner)) this.#enter(listener, fd, peer, counted)
      else this.#refuse('descriptors', fd, peer ?? place, NO_DESCRIPTORS)
      return
    }
    if (shortage !== undefined) this.owner.log.warn(`${kind.name} ${shortage}`, `${kind.name}: ${this.#describe(shortage)}: others wait`)
    this.#wait(new Arrival(this, listener, fd, peer, owner, counted, performance.now()), place)
    if (shortage === undefined) this.#fill()
  }

  /** Where descriptors are short, waiting would only take more of them. */
  #turnsAway(shortage: Shortage): boolean {
    return shortage === 'clients' && this.plan.short
  }

  #mayWait({ waiting }: ListenerState): boolean {
    return this.#waiting < this.plan.waiting || waiting.size < this.plan.waitingGuaranteed
  }

  #wait(arrival: Arrival, place: string): void {
    const { listener, fd, peer, owner } = arrival
    const { waiting } = listener
    if (!this.#mayWait(listener) && owner !== ROOT) {
      const other = waiting.dispensable(arrival.since - SILENCE_MS) ?? waiting.oneTooMany(owner)
      if (other === undefined) return this.#refuse('waiting', fd, peer ?? place, `${owner} has ${waiting.size} connections waiting`)
      this.owner.log.warn(`${listener.kind.name} waiting`, `${place}: ${waiting.size} connections wait, one of ${other.owner} is closed for another`)
      this.gone(other)
    }
    try {
      arrival.slot = this.owner.poller.add(fd, READABLE | EDGE, arrival)
    } catch (error) {
      return this.#refuse('descriptors', fd, peer ?? place, (error as Error).message)
    }
    this.#counts.add(arrival.counted)
    waiting.add(arrival)
    this.#waiting++
    this.#arm()
  }

  /** A connection that waits has something to say. */
  speaks(arrival: Arrival): void {
    arrival.listener.waiting.speaks(arrival, performance.now())
    this.#fill()
  }

  /** A connection that waits ends. */
  gone(arrival: Arrival): void {
    this.#forget(arrival)
    this.#counts.remove(arrival.counted)
    this.owner.closeUnserved(arrival.fd)
  }

  // Clients go on, and go

  /** The TLS handshake is through. */
  secured(id: number): void {
    const client = this.clients.get(id)
    if (client?.stage === 'handshake') this.#advance(client, client.places.kind.auth === 'none' ? 'in' : 'login')
  }

  authenticated(id: number): void {
    const client = this.clients.get(id)
    if (client !== undefined) this.#advance(client, 'in')
  }

  /** It was to go, and had come in meanwhile. */
  kept(id: number): void {
    const client = this.clients.get(id)
    if (client?.leaving !== true) return
    client.leaving = false
    this.#leaving--
    this.#places.enter(client)
  }

  ended(id: number): void {
    const client = this.clients.get(id)
    if (client === undefined) return
    this.clients.delete(id)
    this.#listener(client.places.kind).notIn.delete(client)
    this.#counts.remove(client.counted)
    if (client.leaving) this.#leaving--
    else this.#places.leave(client)
    if (this.clients.size === 0) this.owner.idle(true)
    this.#fill()
  }

  /** Nobody waits any longer. */
  close(): void {
    clearTimeout(this.#timer)
    for (const { waiting } of this.#listeners.values()) for (const arrival of waiting.all) this.gone(arrival)
  }

  #advance(client: Client, stage: Stage): void {
    if (client.leaving) client.stage = stage
    else this.#places.advance(client, stage)
    if (stage === 'in') this.#listener(client.places.kind).notIn.delete(client)
    this.#fill()
  }

  // Places

  #enter(listener: ListenerState, fd: number, peer: string | undefined, counted: string | undefined, rootsOwn = false): void {
    const { kind, places } = listener
    const { transport, readonly, auth } = kind
    const id = ++this.#ids
    const stage = transport === 'tls' ? 'handshake' : auth === 'none' ? 'in' : 'login'
    const since = Date.now()
    const client: Client = { id, fd, peer, since, places, stage, rootsOwn, leaving: false, counted, owner: undefined }
    this.clients.set(id, client)
    this.#counts.add(counted)
    this.#places.enter(client)
    if (stage !== 'in') listener.notIn.add(client)
    this.owner.hand({ id, fd, transport, peer, readonly, auth })
    if (this.clients.size === 1) this.owner.idle(false)
  }

  #enterWaiting(arrival: Arrival, rootsOwn: boolean): void {
    const { listener, fd, peer, counted, owner } = arrival
    listener.waiting.serve(owner, performance.now())
    this.#forget(arrival)
    this.#counts.remove(counted)
    this.#enter(listener, fd, peer, counted, rootsOwn)
  }

  #forget(arrival: Arrival): void {
    if (!arrival.listener.waiting.remove(arrival)) return
    this.#waiting--
    this.owner.poller.remove(arrival.slot, arrival.fd)
  }

  /** Places that are free go to those that wait, listener by listener. */
  #fill(): void {
    // A client that no thread can have ends while it enters.
    if (this.#waiting === 0 || this.#filling) return
    this.#filling = true
    const listeners = [...this.#listeners.values()]
    const held = new Map<ListenerState, Map<string, number>>()
    const first = this.#turn++
    for (let i = first, idle = 0; idle < listeners.length; i++) {
      idle = this.#fillOne(listeners[i % listeners.length]!, held) ? 0 : idle + 1
    }
    this.#filling = false
    for (const listener of listeners) this.#reopen(listener)
    this.owner.flush()
  }

  #reopen(listener: ListenerState): void {
    if (!listener.full || !this.#mayAccept(listener)) return
    listener.full = false
    this.owner.mayAcceptAgain(listener.kind)
  }

  #fillOne(listener: ListenerState, known: Map<ListenerState, Map<string, number>>): boolean {
    const { waiting, places } = listener
    if (waiting.size === 0) return false
    const shortage = this.#places.shortage(places)
    if (shortage !== undefined) {
      const root = waiting.firstOf(ROOT)
      if (root === undefined || root.since > performance.now() - TICK_MS || !this.#rootMayEnter(listener, shortage)) return false
      this.#enterWaiting(root, true)
      return true
    }
    let held = known.get(listener)
    if (held === undefined) known.set(listener, (held = this.#held(listener)))
    const now = performance.now()
    const arrival = waiting.next(owner => held.get(owner) ?? 0, now)!
    held.set(arrival.owner, (held.get(arrival.owner) ?? 0) + 1)
    listener.movedAt = now
    this.#enterWaiting(arrival, false)
    return true
  }

  /**
   * Root's own places stand for those that others have taken: where there is nobody else, the limits are root's too. It is
   * not asked at once, because some of the others may be about to go.
   */
  #rootMayEnter(listener: ListenerState, shortage: Shortage): boolean {
    const { rootsPlaces } = this.#places
    if (rootsPlaces >= this.plan.root) return false
    let others = 0
    for (const client of this.#holding(listener, shortage)) if (this.#ownerOf(client) !== ROOT && ++others > rootsPlaces) return true
    return false
  }

  /** Those that have taken the places of which there are too few. */
  *#holding(listener: ListenerState, shortage: Shortage): Generator<Client> {
    const stage = shortage === 'handshakes' ? 'handshake' : 'login'
    for (const client of shortage === 'clients' ? this.clients.values() : listener.notIn) {
      const counts = shortage === 'clients' || client.stage === stage
      if (counts && !client.leaving && !client.rootsOwn) yield client
    }
  }

  /** How many of each owner are not in yet. */
  #held(listener: ListenerState): Map<string, number> {
    const held = new Map<string, number>()
    for (const client of listener.notIn) {
      const owner = this.#ownerOf(client)
      held.set(owner, (held.get(owner) ?? 0) + 1)
    }
    return held
  }

  // Making room

  #arm(): void {
    this.#timer ??= setTimeout(() => this.#tick(), TICK_MS).unref()
  }

  #tick(): void {
    this.#timer = undefined
    for (const listener of this.#listeners.values()) {
      this.#relieve(listener)
      this.#reopen(listener)
    }
    this.#fill()
    this.owner.flush()
    if (this.#waiting > 0 || [...this.#listeners.values()].some(({ full }) => full)) this.#arm()
  }

  /** Closes as many as are needed for those that wait in vain. */
  #relieve(listener: ListenerState): void {
    const { waiting } = listener
    const evictions: Evictions = new Map()
    let claims: Claim[] = waiting.inNeed(performance.now())
    for (let left = MOST_AT_ONCE; left > 0 && claims.length > 0; ) {
      claims = claims.filter(claim => {
        const arrival = left-- > 0 ? waiting.firstOf(claim.owner) : undefined
        if (arrival === undefined || !this.#makeRoom(listener, claim, evictions)) return false
        this.#enterWaiting(arrival, false)
        return true
      })
    }
  }

  /** For one that cannot wait. After a vain look around it is not done again for a while. */
  #makeRoomAtOnce(listener: ListenerState, owner: string): boolean {
    const now = performance.now()
    if (now < this.#lookAgainAt) return false
    if (this.#makeRoom(listener, { owner, waitedMs: 0 }, new Map())) return true
    this.#lookAgainAt = now + TICK_MS
    return false
  }

  /** Has others closed, if need be, until there is a place for the claim. */
  #makeRoom(listener: ListenerState, claim: Claim, evictions: Evictions): boolean {
    for (;;) {
      const shortage = this.#places.shortage(listener.places)
      if (shortage === undefined) {
        for (const eviction of evictions.values()) eviction.add(claim.owner)
        return true
      }
      let eviction = evictions.get(shortage)
      if (eviction === undefined) evictions.set(shortage, (eviction = new Eviction(this.#evictable(listener, shortage))))
      const chosen = this.#leaving < MAX_LEAVING ? eviction.choose(claim) : undefined
      if (chosen === undefined) return false
      if (chosen.silentMs > 0 && hasUnread(chosen.client.fd)) {
        // Its thread has not come to read it yet.
        this.owner.lastHeard.hearFor(chosen.client.fd)
        eviction.spare(chosen)
      } else {
        eviction.remove(chosen)
        this.#evict(chosen.client, shortage)
      }
    }
  }

  *#evictable(listener: ListenerState, shortage: Shortage): Generator<Evictable> {
    const now = Date.now()
    for (const client of this.#holding(listener, shortage)) {
      const silence = this.owner.lastHeard.silence(client.fd)
      if (silence !== undefined) yield { client, owner: this.#ownerOf(client), ...silence, ageMs: now - client.since }
    }
  }

  #evict(client: Client, shortage: Shortage): void {
    const { name } = client.places.kind
    this.owner.log.warn(
      `${name} eviction`,
      `${name}: ${this.#describe(shortage)}: a connection of ${client.owner} that is not logged in is closed for another`
    )
    client.leaving = true
    this.#leaving++
    this.#places.leave(client)
    this.owner.evict(client.id)
  }

  #ownerOf(client: Client): string {
    return (client.owner ??= ownerOf(client.places.kind, client.fd, client.peer))
  }

  #describe(shortage: Shortage): string {
    const { maxHandshakes, maxAnonymousClients } = this.limits
    if (shortage === 'handshakes') return `${maxHandshakes} clients in their TLS handshake (max_handshakes)`
    if (shortage === 'logins') return `${maxAnonymousClients} clients that have not logged in (max_anonymous_clients)`
    return `${this.plan.clients} clients${this.plan.short ? '' : ' (max_clients)'}`
  }

  // Refusing

  #refuse(topic: string, fd: number, who: string, why: string): void {
    this.owner.closeUnserved(fd)
    this.owner.log.warn(`refused: ${topic}`, `${who}: refused, ${why}`)
  }

  #listener(kind: ListenerKind): ListenerState {
    let listener = this.#listeners.get(kind)
    if (listener === undefined) this.#listeners.set(kind, (listener = new ListenerState(kind)))
    return listener
  }
}

const NO_DESCRIPTORS = 'the process is running out of file descriptors'
