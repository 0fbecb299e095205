import { AddressSet } from '../../workers/os/address-set.js'
import { endpointIn } from '../../workers/os/address.js'
import type { LastHeard } from '../../workers/os/last-heard.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { EDGE, READABLE, type Poller } from '../../workers/os/poller.js'
import type { Refusal } from '../../workers/thread/metric-families.js'
import type { BoundedLog } from '../log/bounded-log.js'
import { AdmittedClients, type ClientsOwner } from './admitted-clients.js'
import type { Client, Clients } from './clients.js'
import { ConnectionCounts, NOT_COUNTED, type CounterLimits } from './connection-counts.js'
import type { DescriptorPlan } from './descriptor-plan.js'
import { SILENCE_MS, type Claim } from './eviction.js'
import { Arrival, ListenerState } from './listener-state.js'
import { MakingRoom } from './making-room.js'
import { ownerOf, ROOT } from './owner.js'
import { Places, type PlaceLimits, type Shortage } from './places.js'

/** How many there may be, and how many of them that have not logged in. */
export interface ClientBounds {
  maxClients: number
  maxAnonymousClients: number
}

export interface AdmissionLimits extends CounterLimits, ClientBounds {
  maxHandshakes: number
  /** Who alone may come over the network, and must say for whom; undefined: clients come by themselves. */
  trustedProxies: readonly string[] | undefined
}

/** What becomes of those that come, and of those that have to go. */
export interface AdmissionOwner extends ClientsOwner {
  readonly poller: Poller
  readonly lastHeard: LastHeard
  readonly log: BoundedLog
  /** A connection is not served, or no longer, because of this limit. */
  refused(reason: Refusal): void
  /** Has a client closed, however far it has come. */
  disconnect(client: Client): void
  /** Listeners that were told to take no more may ask again. */
  mayAcceptAgain(kind: ListenerKind): void
}

/** While connections wait, it is looked so often whether somebody must make room. */
const TICK_MS = 50
/** Connections for which room is made at a time. */
const MOST_AT_ONCE = 64
/** In the log, a minute and topic. */
const LINES = 5

/** By what the log tells of it. */
const REFUSED_FOR = {
  descriptors: 'descriptor', counted: 'per_identity', waiting: 'max_clients', proxy: 'proxy_header'
} as const satisfies Record<string, Refusal>

/** A connection that nobody serves. `place`: of its listener. */
interface Refused {
  readonly kind: ListenerKind
  readonly place: string
  readonly fd: number
  readonly peer: string | undefined
}

/** Which connections are served, which wait, and which must go (docs/reliability.md, Admission). */
export class Admission {
  readonly admitted: AdmittedClients
  #limits: AdmissionLimits
  #plan: DescriptorPlan
  #proxies: AddressSet | undefined
  readonly #counts: ConnectionCounts
  readonly #places: Places
  readonly #listeners = new Map<ListenerKind, ListenerState>()
  #waiting = 0
  #turn = 0
  #toFill = false
  #lookAgainAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    limits: AdmissionLimits,
    plan: DescriptorPlan,
    readonly owner: AdmissionOwner
  ) {
    this.#limits = limits
    this.#plan = plan
    this.#places = new Places(placeLimits(limits, plan))
    this.#counts = new ConnectionCounts(limits)
    this.#proxies = proxiesOf(limits)
    this.admitted = new AdmittedClients(owner, this.#places, this.#counts, () => this.#fillSoon())
  }

  /** Those that are served. */
  get clients(): Clients {
    return this.admitted.all
  }

  /** Goes on with other limits. Nobody who is served has to go for it. */
  apply(limits: AdmissionLimits, plan: DescriptorPlan): void {
    this.#limits = limits
    this.#plan = plan
    this.#places.limits = placeLimits(limits, plan)
    this.#counts.limits = limits
    this.#proxies = proxiesOf(limits)
    this.#fill()
  }

  /** Connections that wait for a place. */
  get waiting(): number {
    return this.#waiting
  }

  // Connections come

  mayAccept(kind: ListenerKind): boolean {
    const listener = this.#listener(kind)
    listener.full = !this.#mayAccept(listener)
    if (listener.full) this.#arm()
    return !listener.full
  }

  #mayAccept(listener: ListenerState): boolean {
    const shortage = this.#places.shortage(listener)
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
    if (fd >= this.#plan.firstReserved) return this.#refuse('descriptors', { kind, place, fd, peer }, NO_DESCRIPTORS)
    const via = kind.transport === 'unix' || this.#proxies === undefined ? undefined : peer
    if (via !== undefined && !this.#proxies!.has(endpointIn(via).ip)) return this.#refuse('proxy', { kind, place, fd, peer }, NO_PROXY)
    // One that came through a proxy counts where it is, and that is not known yet.
    const [counted, limit] = via === undefined ? this.#counts.counter(kind, fd, peer) : NOT_COUNTED
    if (counted !== undefined && this.#counts.of(counted) >= limit) {
      return this.#refuse('counted', { kind, place, fd, peer }, `${counted} has ${limit} connections`)
    }
    const shortage = this.#places.shortage(listener)
    const entrant = { at: listener, fd, peer, via, counted, rootsOwn: false }
    if (shortage === undefined && listener.waiting.size === 0) return this.admitted.enter(entrant)
    const owner = ownerOf(kind, fd, peer)
    if (shortage !== undefined && this.#turnsAway(shortage) && owner !== ROOT) {
      if (this.#makeRoomAtOnce(listener, owner)) this.admitted.enter(entrant)
      else this.#refuse('descriptors', { kind, place, fd, peer }, NO_DESCRIPTORS)
      return
    }
    if (shortage !== undefined) {
      const text = (): string => `${kind.name}: ${this.#describe(shortage)}: others wait`
      this.owner.log.log('connections-wait', `${kind.name} ${shortage}`, 1, text, { listener: kind.name })
    }
    this.#wait(new Arrival(this, listener, fd, peer, via, owner, counted, performance.now()), place)
    if (shortage === undefined) this.#fillSoon()
  }

  /** Where descriptors are short, waiting would only take more of them. */
  #turnsAway(shortage: Shortage): boolean {
    return shortage === 'clients' && this.#plan.short
  }

  #mayWait({ waiting }: ListenerState): boolean {
    return this.#waiting < this.#plan.waiting || waiting.size < this.#plan.waitingGuaranteed
  }

  #wait(arrival: Arrival, place: string): void {
    const { listener, fd, peer, owner } = arrival
    const { waiting } = listener
    const refused = { kind: listener.kind, place, fd, peer }
    if (!this.#mayWait(listener) && owner !== ROOT) {
      const other = waiting.dispensable(arrival.since - SILENCE_MS) ?? waiting.oneTooMany(owner)
      if (other === undefined) return this.#refuse('waiting', refused, `${owner} has ${waiting.size} connections waiting`)
      const { name } = listener.kind
      const text = (): string => `${place}: ${waiting.size} connections wait, one of ${other.owner} is closed for another`
      this.owner.refused('max_clients')
      this.owner.log.log('client-displaced', `${name} waiting`, LINES, text, { listener: name, address: other.peer })
      this.owner.watcher?.turnedAway(other.listener.kind, other.peer, 'closed for another that waits')
      this.gone(other)
    }
    try {
      arrival.slot = this.owner.poller.add(fd, READABLE | EDGE, arrival)
    } catch (error) {
      return this.#refuse('descriptors', refused, (error as Error).message)
    }
    this.#counts.add(arrival.counted)
    waiting.add(arrival)
    this.#waiting++
    this.#arm()
  }

  /** A client's proxy has told where the client is. */
  cameFrom(id: number, peer: string): void {
    const client = this.clients.get(id)
    const why = client && this.admitted.cameFrom(client, peer)
    if (client === undefined || why === undefined) return
    this.owner.refused(REFUSED_FOR.counted)
    this.#logRefusal('counted', client.listener, peer, why)
    this.owner.disconnect(client)
  }

  /** A connection that waits has something to say. */
  speaks(arrival: Arrival): void {
    arrival.listener.waiting.speaks(arrival, performance.now())
    this.#fillSoon()
  }

  /** A connection that waits ends. */
  gone(arrival: Arrival): void {
    this.#forget(arrival)
    this.#counts.remove(arrival.counted)
    this.owner.closeUnserved(arrival.listener.kind, arrival.fd)
  }

  /** Nobody waits any longer. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const { waiting } of this.#listeners.values()) for (const arrival of waiting.all) this.gone(arrival)
  }

  // Places

  #enterWaiting(arrival: Arrival, rootsOwn: boolean): void {
    const { listener, fd, peer, via, counted, owner } = arrival
    listener.waiting.serve(owner, performance.now())
    this.#forget(arrival)
    this.#counts.remove(counted)
    this.admitted.enter({ at: listener, fd, peer, via, counted, rootsOwn })
  }

  #forget(arrival: Arrival): void {
    if (!arrival.listener.waiting.remove(arrival)) return
    this.#waiting--
    this.owner.poller.remove(arrival.slot, arrival.fd)
  }

  /** When all news that came together has been heard. */
  #fillSoon(): void {
    if (this.#waiting === 0 || this.#toFill) return
    this.#toFill = true
    queueMicrotask(() => this.#fill())
  }

  /** Places that are free go to those that wait, listener by listener. */
  #fill(): void {
    this.#toFill = false
    const listeners = [...this.#listeners.values()]
    const held = new Map<ListenerState, Map<string, number>>()
    const first = this.#turn++
    for (let i = first, idle = 0; idle < listeners.length; i++) {
      idle = this.#fillOne(listeners[i % listeners.length]!, held) ? 0 : idle + 1
    }
    for (const listener of listeners) this.#reopen(listener)
    this.owner.threads.flush()
  }

  #reopen(listener: ListenerState): void {
    if (!listener.full || !this.#mayAccept(listener)) return
    listener.full = false
    this.owner.mayAcceptAgain(listener.kind)
  }

  #fillOne(listener: ListenerState, known: Map<ListenerState, Map<string, number>>): boolean {
    const { waiting } = listener
    if (waiting.size === 0) return false
    const now = performance.now()
    const shortage = this.#places.shortage(listener)
    if (shortage !== undefined) return this.#enterRoot(listener, shortage, now)
    let held = known.get(listener)
    if (held === undefined) known.set(listener, (held = this.clients.notInByOwner(listener)))
    const arrival = waiting.next(owner => held.get(owner) ?? 0, now)!
    held.set(arrival.owner, (held.get(arrival.owner) ?? 0) + 1)
    listener.movedAt = now
    this.#enterWaiting(arrival, false)
    return true
  }

  /**
   * Root's own places stand for those that others have taken: where there is nobody else, the limits are root's too. It has
   * to wait for a moment, because some of the others may be about to go.
   */
  #enterRoot(listener: ListenerState, shortage: Shortage, now: number): boolean {
    const root = listener.waiting.firstOf(ROOT)
    if (root === undefined || root.since > now - TICK_MS) return false
    const { rootsPlaces } = this.#places
    if (rootsPlaces >= this.#plan.root || !this.clients.othersHold(rootsPlaces, listener, shortage)) return false
    this.#enterWaiting(root, true)
    return true
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
    if (this.#waiting > 0 || [...this.#listeners.values()].some(({ full }) => full)) this.#arm()
  }

  /** Has as many closed as are needed for those that wait in vain. */
  #relieve(listener: ListenerState): void {
    const { waiting } = listener
    let claims: Claim[] = waiting.inNeed(performance.now())
    if (claims.length === 0) return
    const room = this.#makingRoom(listener)
    for (let left = MOST_AT_ONCE; left > 0 && claims.length > 0;) {
      claims = claims.filter(claim => {
        const arrival = left-- > 0 ? waiting.firstOf(claim.owner) : undefined
        if (arrival === undefined || !room.for(claim)) return false
        this.#enterWaiting(arrival, false)
        return true
      })
    }
  }

  /** For one that cannot wait. After a vain look around it is not done again for a while. */
  #makeRoomAtOnce(listener: ListenerState, owner: string): boolean {
    const now = performance.now()
    if (now < this.#lookAgainAt) return false
    const made = this.#makingRoom(listener).for({ owner, waitedMs: 0 })
    if (!made) this.#lookAgainAt = now + TICK_MS
    return made
  }

  #makingRoom(listener: ListenerState): MakingRoom {
    const evict = (client: Client, shortage: Shortage): void => this.#evict(client, shortage)
    const leaving = (): number => this.admitted.leaving
    const { clients, owner: { lastHeard } } = this
    return new MakingRoom(listener, { clients, places: this.#places, lastHeard, leaving, evict })
  }

  #evict(client: Client, shortage: Shortage): void {
    const { peer, listener } = client
    const { name } = listener
    const what = `a connection of ${client.owner} that is not logged in is closed for another`
    const text = (): string => `${name}: ${this.#describe(shortage)}: ${what}`
    this.owner.refused('anonymous')
    this.owner.log.log('client-displaced', `${name} eviction`, LINES, text, { listener: name, address: peer })
    this.admitted.evict(client)
  }

  #describe(shortage: Shortage): string {
    const { maxHandshakes, maxAnonymousClients } = this.#limits
    if (shortage === 'handshakes') return `${maxHandshakes} clients or more in their TLS handshake (max_handshakes)`
    if (shortage === 'logins') return `${maxAnonymousClients} clients that have not logged in (max_anonymous_clients)`
    return `${this.#plan.clients} clients${this.#plan.short ? '' : ' (max_clients)'}`
  }

  // Refusing

  #refuse(topic: keyof typeof REFUSED_FOR, { kind, place, fd, peer }: Refused, why: string): void {
    this.owner.watcher?.turnedAway(kind, peer, why)
    this.owner.closeUnserved(kind, fd)
    this.owner.refused(REFUSED_FOR[topic])
    this.#logRefusal(topic, kind, peer, why, place)
  }

  #logRefusal(topic: keyof typeof REFUSED_FOR, kind: ListenerKind, peer: string | undefined, why: string, place = kind.name): void {
    const about = { listener: kind.name, address: peer }
    this.owner.log.log('client-refused', `refused: ${topic}`, LINES, () => `${peer ?? place}: refused, ${why}`, about)
  }

  #listener(kind: ListenerKind): ListenerState {
    let listener = this.#listeners.get(kind)
    if (listener === undefined) this.#listeners.set(kind, (listener = new ListenerState(kind)))
    return listener
  }
}

const placeLimits = ({ maxAnonymousClients, maxHandshakes }: AdmissionLimits, { clients, guaranteed }: DescriptorPlan): PlaceLimits => ({
  clients,
  guaranteed,
  logins: maxAnonymousClients,
  handshakes: maxHandshakes
})

const proxiesOf = ({ trustedProxies }: AdmissionLimits): AddressSet | undefined => trustedProxies && new AddressSet(trustedProxies)

const NO_DESCRIPTORS = 'the process is running out of file descriptors'
const NO_PROXY = 'it is none of the proxies that may come (proxy_trusted)'
