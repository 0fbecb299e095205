import { driverClosed } from '../../protocol/broker-errors.js'
import { RemoteError } from '../../protocol/errors.js'
import { frameProcedure, frameProgram } from '../../protocol/header.js'
import type { Identity } from '../../protocol/identity.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import { lookup } from '../../protocol/procedures.js'
import { Timer } from '../base/clock.js'
import { SOURCE } from '../base/log.js'
import type { Counters } from '../thread/counters.js'
import type { ConnectionUse } from '../thread/driver-report.js'
import { FAMILIES } from '../thread/metric-families.js'
import type { ThreadLog } from '../thread/services.js'
import { ConnectionGroup, type GroupOwner, type GroupServices } from './connection-group.js'
import { CopiedReplies } from './copied-replies.js'
import type { DriverUser } from './driver-port.js'
import type { Candidate, Way } from './driver-sockets.js'
import type { DriverOpening, Drivers, OpeningLog } from './drivers.js'
import type { Endpoint } from './endpoint.js'
import { EventConnection, type EventConnectionOwner, type EventServices } from './event-connection.js'
import type { GuestHost, GuestPort } from './guest-port.js'
import type { HeldReplies } from './held-replies.js'
import { questionOf, WaitingReads } from './joined-reads.js'
import { secondaryOf } from './secondaries.js'
import { SharedConnection, type Guest, type SharedOwner, type SharingServices } from './shared-connection.js'
import type { SharedRegistrations } from './shared-registrations.js'

/** Calls that wait for no hypervisor have one connection, opened when the others are full. */
const KEPT_FOR_PRIORITY = 1
/** Connections for events, of which all but the latest are there for those only who have registered on them. */
const MOST_FOR_EVENTS = 8
/** Nobody else shares what a process had that has closed all its connections. But it may open the next at once. */
const PROCESS_IDLE_MS = 1000
/** A daemon that takes no more clients leaves them waiting without a word. */
const LATE_MS = 1000

/** What it needs of its thread. */
export interface SharedDriverServices extends GroupServices, SharingServices, EventServices {
  readonly settings: GroupServices['settings'] & SharingServices['settings'] & EventServices['settings'] & {
    readonly driverPoolSize: number
    readonly driverMaxIdle: number
    readonly collapseReads: boolean
  }
  readonly counters: Counters
  readonly log: ThreadLog
  readonly io: { failed(session: undefined, error: unknown): void }
}

/** What is shared. */
export interface Shared {
  readonly way: Way
  readonly readonly: boolean
  readonly identity: Identity
}

export interface SharedDriverOwner {
  /** Opens a connection. */
  readonly drivers: Pick<Drivers, 'open'>
  /** Replies that are kept. */
  readonly held: HeldReplies
  /** It is open there. */
  endpoint(driver: SharedDriver, candidate: Candidate): Endpoint
  /** Nobody uses it. */
  unused(driver: SharedDriver): void
  /** Nobody may be using the endpoint. */
  endpointLeft(candidate: Candidate): void
  /** A daemon does not answer one that is to be opened: it may have as many as it takes. */
  makeRoom(way: Way): void
}

/** A name that is open at a driver daemon for one identity, on as many connections as its sessions need. */
export class SharedDriver implements GuestHost, GroupOwner, SharedOwner, EventConnectionOwner {
  readonly shared: Shared
  readonly guests = new Set<GuestPort>()
  readonly #owner: SharedDriverOwner
  readonly #services: SharedDriverServices
  readonly #ordinary: ConnectionGroup
  readonly #priority: ConnectionGroup
  /** The latest is where sessions register; others stay for those who have registered there. */
  readonly #events: EventConnection[] = []
  readonly #copies: CopiedReplies
  /** Made for the first call that waits and could join another. */
  #reads: WaitingReads | undefined
  /** Where the first connection has led to, and all others do. */
  #candidate: Candidate | undefined
  #endpoint: Endpoint | undefined
  /** The first connection, while it is being opened. */
  #first: Promise<Candidate> | undefined
  readonly #openings = new Set<DriverOpening>()

  constructor(owner: SharedDriverOwner, services: SharedDriverServices, shared: Shared) {
    this.#owner = owner
    this.#services = services
    this.shared = shared
    this.#copies = new CopiedReplies(services.turns, owner.held)
    this.#ordinary = new ConnectionGroup(this, services, () => services.settings.driverPoolSize)
    this.#priority = new ConnectionGroup(this, services, () => KEPT_FOR_PRIORITY)
  }

  /** A session is to be its guest, once the promise resolves. It rejects with the RemoteError that the client gets. */
  open(guest: GuestPort, log: OpeningLog): Promise<Candidate> {
    this.guests.add(guest)
    this.#endpoint?.guests.add(guest)
    if (this.#ordinary.connections.length > 0) return Promise.resolve(this.#candidate!)
    return this.#first ?? this.#openFirst(log)
  }

  #openFirst(log: OpeningLog): Promise<Candidate> {
    this.#ordinary.begun()
    const first = this.#open(this.#ordinary, log).finally(() => {
      if (this.#first === first) this.#first = undefined
      this.#leaveIfUnused()
    })
    return (this.#first = first)
  }

  /** Whoever comes from now on opens another. */
  #giveUpOpening(): void {
    this.#first = undefined
    for (const opening of this.#openings) opening.abandon()
  }

  get connections(): readonly SharedConnection[] {
    return [...this.#ordinary.connections, ...this.#priority.connections]
  }

  /** How many sessions have calls for which there is no room. */
  get waiting(): number {
    return this.#ordinary.waiting + this.#priority.waiting
  }

  /** Of one of its connections. */
  useOf(connection: SharedConnection | EventConnection): ConnectionUse | undefined {
    const candidate = this.#candidate
    if (candidate === undefined) return undefined
    const priority = this.#priority.connections.includes(connection as SharedConnection)
    const kind = connection instanceof EventConnection ? 'events' : priority ? 'priority' : 'shared'
    const { readonly, identity } = this.shared
    const { out, oldestMs } = connection
    return { kind, candidate, readonly, identity, clients: this.guests.size, calls: out, oldestMs }
  }

  // GuestHost

  call(guest: GuestPort, bytes: Buffer, at: number, alone: boolean): boolean {
    const procedure = lookup(frameProgram(bytes, at), frameProcedure(bytes, at))
    const collapses = this.#services.settings.collapseReads && !alone
    const question = collapses ? questionOf(procedure, bytes, at) : undefined
    if (question !== undefined && this.#join(guest, bytes, at, question)) return true
    const secondary = secondaryOf(procedure)
    const connection = this.#connectionFor(guest, procedure?.priority === 'high', secondary)
    if (connection !== undefined) {
      connection.send(guest, bytes, at, secondary, question)
      this.#reads?.forget(guest)
      if (question !== undefined) this.#reads?.tell(question)
    } else if (question !== undefined) (this.#reads ??= new WaitingReads()).add(guest, question)
    return connection !== undefined
  }

  /** A call of a session that has written something may not be older than that. */
  #join(guest: GuestPort, bytes: Buffer, at: number, question: string): boolean {
    const connection = guest.user.judge.onlyReads ? this.#ordinary.join(guest, bytes, at, question) : undefined
    if (connection === undefined) return false
    this.#wentBy(connection, guest)
    this.#reads?.forget(guest)
    this.#services.counters.add(FAMILIES.joinedCalls, 1)
    return true
  }

  #wentBy(connection: SharedConnection, guest: GuestPort): void {
    guest.last = connection
    guest.lastAt = this.#services.clock.now
  }

  #connectionFor(guest: GuestPort, high: boolean, secondary: number): SharedConnection | undefined {
    const ordinary = !high || this.#ordinary.isCalm ? this.#ordinary.pick(guest, secondary) : undefined
    if (ordinary !== undefined) {
      this.#wentBy(ordinary, guest)
      return ordinary
    }
    const group = high && !this.#ordinary.isEmpty ? this.#priority : this.#ordinary
    const found = high ? this.#priority.pick(guest, secondary) : undefined
    if (found !== undefined) return found
    group.wait(guest, secondary)
    this.#widen()
    return undefined
  }

  openOwn(user: DriverUser): DriverOpening {
    return this.#begin(user, this.#log)
  }

  #begin(user: DriverUser, log: OpeningLog): DriverOpening {
    const { clock } = this.#services
    const way = this.#way
    const late = new Timer({ timeUp: () => this.#owner.makeRoom(way) })
    clock.set(late, LATE_MS)
    const opening = this.#owner.drivers.open({ ...this.shared, way, user, log })
    return { opened: opening.opened.finally(() => clock.cancel(late)), abandon: () => opening.abandon() }
  }

  get registrations(): SharedRegistrations {
    const latest = this.#events.at(-1)
    const isOfUse = latest !== undefined && (!latest.isSpent || this.#events.length >= MOST_FOR_EVENTS)
    if (isOfUse) return latest.registrations
    const events = new EventConnection(this, this.#services)
    this.#events.push(events)
    return events.registrations
  }

  closed(connection: EventConnection): void {
    const at = this.#events.indexOf(connection)
    if (at >= 0) this.#events.splice(at, 1)
  }

  #stopEvents(): void {
    for (const events of [...this.#events]) events.stop()
  }

  left(guest: GuestPort): void {
    this.guests.delete(guest)
    if (this.guests.size === 0) {
      this.#stopEvents()
      this.#giveUpOpening()
    }
    this.#endpoint?.guests.delete(guest)
    this.#ordinary.forget(guest)
    this.#priority.forget(guest)
    this.#reads?.forget(guest)
    this.#copies.forget(guest)
    this.#serve()
    if (this.guests.size === 0) for (const connection of this.connections) connection.reconsider()
    this.#leaveIfUnused()
  }

  #idleMs(): number {
    const { driverIdleTimeoutMs } = this.#services.settings
    const isOfProcess = this.shared.identity.processId !== undefined
    return isOfProcess && this.guests.size === 0 ? Math.min(PROCESS_IDLE_MS, driverIdleTimeoutMs) : driverIdleTimeoutMs
  }

  #leaveIfUnused(): void {
    if (this.guests.size === 0 && this.#ordinary.isEmpty && this.#priority.isEmpty) this.#owner.unused(this)
    if (this.#candidate !== undefined) this.#owner.endpointLeft(this.#candidate)
  }

  // GroupOwner

  openFor(group: ConnectionGroup): void {
    this.#open(group, this.#log).catch((error: unknown) => this.#notOpened(error))
  }

  crowded(connections: number, clients: number, waitedMs: number): void {
    const wait = `calls of ${clients} clients wait, the first for ${(waitedMs / 1000).toFixed(1)} s`
    this.#log.log('driver-crowded', `${wait}: the calls on all ${connections} driver connections of their identity are stuck`)
  }

  #notOpened(error: unknown): void {
    if (!(error instanceof RemoteError)) return this.#services.io.failed(undefined, error)
    if (this.guests.size === 0) return this.#leaveIfUnused()
    // Those who wait go on waiting for others, there or to come. Without any they cannot call now, though the daemon may live.
    const stranded = [this.#ordinary, this.#priority].filter(group => this.#ordinary.isEmpty && group.isEmpty)
    if (stranded.length === 0) this.#log.logTrouble('driver-refused', `no further driver connection: ${error.message}`)
    else if (this.#endpoint?.kept === undefined) this.#loseShared(this.guests, error, CLOSE_REASON.error)
    else for (const group of stranded) group.refuse(error)
    this.#leaveIfUnused()
  }

  async #open(group: ConnectionGroup, log: OpeningLog): Promise<Candidate> {
    const connection = new SharedConnection(this, this.#services, this.#copies, () => this.#idleMs())
    const opening = this.#begin(connection, log)
    this.#openings.add(opening)
    try {
      const opened = await opening.opened
      this.#settle(opened.candidate).add(connection)
      if (!connection.serve(opened)) {
        this.#endpoint!.remove(connection)
        throw driverClosed()
      }
    } catch (error) {
      group.notOpened()
      throw error
    } finally {
      this.#openings.delete(opening)
    }
    group.opened(connection)
    this.#serve()
    // It may have stayed because there was no other.
    this.#endpoint!.kept?.goIfSpent()
    this.#closeTooIdle()
    return connection.candidate
  }

  get #way(): Way {
    const candidate = this.#candidate
    return candidate === undefined ? this.shared.way : { candidates: [candidate], sought: candidate.path, starts: [] }
  }

  /** The first connection says where all lead to. */
  #settle(candidate: Candidate): Endpoint {
    this.#candidate ??= candidate
    // All may have left the one before, and others have begun with another.
    const endpoint = (this.#endpoint = this.#owner.endpoint(this, candidate))
    for (const guest of this.guests) endpoint.guests.add(guest)
    return endpoint
  }

  /** The settings are others: how long what is idle may stay, and how many. */
  reconsider(): void {
    for (const events of [...this.#events]) events.reconsider()
    for (const connection of this.connections) connection.reconsider()
    for (let count = this.connections.length; count > 0; count--) this.#closeTooIdle()
  }

  #closeTooIdle(): void {
    this.#endpoint?.idle.tooIdle(this.#services.settings.driverMaxIdle)?.goIdle()
  }

  readonly #log: OpeningLog = {
    log: (kind, message) => this.#services.log.write(kind, SOURCE.driver, message),
    logTrouble: (kind, message) => this.#services.log.strangers(kind, SOURCE.driver, message)
  }

  // SharedOwner

  judged(): void {
    this.#serve()
    this.#closeTooIdle()
  }

  #serve(): void {
    this.#ordinary.serve()
    this.#priority.serve(secondary => (this.#ordinary.isCalm ? this.#ordinary.places(secondary) : 0))
    this.#widen()
  }

  /** Calls that wait for no hypervisor may use ordinary connections beyond the one that is for them alone. */
  #widen(): void {
    const { connections, waiting } = this.#priority
    if (waiting > 0 && connections.length > 0) this.#ordinary.widen(waiting)
  }

  used(connection: SharedConnection, yes: boolean): void {
    this.#endpoint?.used(connection, yes)
  }

  idleLong(connection: SharedConnection): boolean {
    if (this.#endpoint?.mayGo(connection) === false) return false
    this.#remove(connection)
    this.#leaveIfUnused()
    return true
  }

  spent(connection: SharedConnection): boolean {
    if (this.#endpoint?.canSpareOne === false) return false
    this.#remove(connection)
    this.#leaveIfUnused()
    return true
  }

  violated(what: string): void {
    this.#log.log('driver-violation', what)
  }

  lost(connection: SharedConnection, error: RemoteError, reason: number, cut: Guest | undefined): void {
    const endpoint = this.#endpoint
    const kept = endpoint?.kept === connection
    this.#remove(connection)
    const hit = connection.guests() as Set<GuestPort>
    if (cut !== undefined) (cut as GuestPort).lost(error, reason, true)
    this.#loseAll(hit, error, reason)
    // It stands for the daemon.
    if (kept) this.#loseShared(endpoint.guests, error, reason)
    this.#serve()
    this.#leaveIfUnused()
  }

  #remove(connection: SharedConnection): void {
    this.#ordinary.remove(connection)
    this.#priority.remove(connection)
    this.#endpoint?.remove(connection)
  }

  /** Not those who have connections of their own: what these have bound lives on with them. */
  #loseShared(guests: Iterable<GuestPort>, error: RemoteError, reason: number): void {
    this.#loseAll([...guests].filter(guest => !guest.isOwn), error, reason)
  }

  #loseAll(guests: Iterable<GuestPort>, error: RemoteError, reason: number): void {
    for (const guest of [...guests]) guest.lost(error, reason, false)
  }

  /** Closes all that is there. */
  stop(): void {
    this.#stopEvents()
    for (const connection of this.connections) {
      this.#remove(connection)
      connection.leave()
    }
  }
}
