import type { RemoteError } from '../../protocol/errors.js'
import { TICK_MS, Timer, type Clock, type Timed } from '../base/clock.js'
import type { GuestPort } from './guest-port.js'
import type { SharedConnection } from './shared-connection.js'
import { WaitingGuests } from './waiting-guests.js'

/**
 * A call that has been out for 100 ms waits for something, and the place that it takes is no place to wait for. By the clock it
 * may have been out for a tick less.
 */
const STUCK_MS = 100 + TICK_MS
/** Connections of one group, whatever is stuck on them. */
const MOST = 32
const RETRY_MS = 1000
const NEVER = -1
const nowhere = (): number => 0

export interface GroupOwner {
  /** Opens one more, for `opened` or `notOpened`. */
  openFor(group: ConnectionGroup): void
  /** Clients wait, as many, the first for so long, and no connection is opened for them any more. */
  crowded(connections: number, clients: number, waitedMs: number): void
}

/** What it needs of its thread. */
export interface GroupServices {
  readonly clock: Clock
  readonly settings: { readonly driverMaxRequests: number }
}

/**
 * Connections to the same name with the same identity, for the same kind of calls. Sessions take turns on them, a call
 * each, and there are as many as `kept` says, or more while calls are stuck.
 */
export class ConnectionGroup implements Timed {
  readonly connections: SharedConnection[] = []
  readonly #owner: GroupOwner
  readonly #services: GroupServices
  readonly #kept: () => number
  readonly #waiting = new WaitingGuests()
  /** Whose turn it is. */
  #turn: GuestPort | undefined
  #opening = 0
  /** Clock time before which none is. */
  #notBefore = 0
  #serving = false
  /** A wait that is not told of, though no connection is opened any more. */
  #usualWaitMs = STUCK_MS
  /** Clock time at which there were as many as there may be: nothing changes that before the next tick. */
  #completeAt = NEVER
  readonly #timer = new Timer(this)

  constructor(owner: GroupOwner, services: GroupServices, kept: () => number) {
    this.#owner = owner
    this.#services = services
    this.#kept = kept
  }

  get isEmpty(): boolean {
    return this.connections.length + this.#opening === 0
  }

  /** How many sessions wait for one. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Nobody waits for room. */
  get isCalm(): boolean {
    return this.#waiting.inLine === 0
  }

  /** How many more calls there is room for that need what `secondaryOf` says. */
  places(secondary: number): number {
    let places = 0
    for (const one of this.connections) places += one.places(secondary)
    return places
  }

  /** A connection with room for the guest's next call, if it is its turn. */
  pick(guest: GuestPort, secondary: number): SharedConnection | undefined {
    if (this.#turn !== guest && this.#waiting.precede(secondary)) return undefined
    this.#turn = undefined
    const tied = this.#tied(guest)
    if (tied !== undefined) return tied.places(secondary) > 0 ? tied : undefined
    let best: SharedConnection | undefined
    for (const one of this.connections) {
      if (one.places(secondary) > 0 && (best === undefined || one.out < best.out)) best = one
    }
    return best
  }

  /** Which one its next call has to take: calls that a client sends at once begin in the order in which it sent them. */
  #tied({ out, last, lastAt }: GuestPort): SharedConnection | undefined {
    if (out === 0 || last === undefined || this.#services.clock.now - lastAt >= STUCK_MS) return undefined
    return this.connections.includes(last) ? last : undefined
  }

  /** Where the call at `bytes[at]` becomes one with another that asks the same and has not left; undefined if nowhere. */
  join(guest: GuestPort, bytes: Buffer, at: number, question: string): SharedConnection | undefined {
    const tied = this.#tied(guest)
    const found = (tied === undefined ? this.connections : [tied]).find(one => one.join(guest, bytes, at, question))
    if (found !== undefined) this.#waiting.delete(guest)
    return found
  }

  /** It is told when to ask again. */
  wait(guest: GuestPort, secondary: number): void {
    this.#waiting.add(guest, this.#lacks(guest, secondary), this.#services.clock.now)
    if (this.#completeAt !== this.#services.clock.now) this.#grow()
  }

  /** What keeps it though there is room, as `WaitingGuests.add` wants it. */
  #lacks(guest: GuestPort, secondary: number): number | undefined {
    if (this.places(0) === 0) return undefined
    if (secondary !== 0 && this.#waiting.hasApart(secondary)) return secondary
    const tied = this.#tied(guest)
    if (tied !== undefined) return tied.places(secondary) > 0 ? undefined : 0
    return this.places(secondary) > 0 ? undefined : secondary
  }

  forget(guest: GuestPort): void {
    this.#waiting.delete(guest)
    // One that nobody has a call on any more goes.
    for (const one of [...this.connections]) one.forget(guest)
    if (this.#waiting.size > 0) return
    this.#services.clock.cancel(this.#timer)
    this.#completeAt = NEVER
  }

  /** There may be room, here or `elsewhere`. */
  serve(elsewhere: (secondary: number) => number = nowhere): void {
    if (this.#serving || this.#waiting.size === 0) return
    this.#serving = true
    this.#waiting.readmit(secondary => this.places(secondary) + elsewhere(secondary))
    for (let count = this.#waiting.inLine; count > 0 && (this.places(0) > 0 || elsewhere(0) > 0); count--) {
      const guest = this.#waiting.shift()
      if (guest === undefined) break
      this.#turn = guest
      guest.judged()
    }
    this.#turn = undefined
    this.#serving = false
    if (this.#completeAt !== this.#services.clock.now) this.#grow()
  }

  /** One more is being opened. */
  begun(): void {
    this.#opening++
  }

  opened(connection: SharedConnection): void {
    this.#opening--
    this.connections.push(connection)
  }

  /** It is tried again for those who still wait, but not at once. */
  notOpened(): void {
    this.#opening--
    this.#notBefore = this.#services.clock.now + RETRY_MS
  }

  /** There is none for those who wait. Each hears why. */
  refuse(error: RemoteError): void {
    for (const guest of this.#waiting.takeAll()) guest.refused(error)
  }

  remove(connection: SharedConnection): boolean {
    const at = this.connections.indexOf(connection)
    if (at >= 0) this.connections.splice(at, 1)
    this.#completeAt = NEVER
    return at >= 0
  }

  timeUp(): void {
    this.serve()
    this.#grow()
  }

  #grow(): void {
    const waiting = this.#waiting.size
    if (waiting === 0) return
    const { clock, settings: { driverMaxRequests } } = this.#services
    let stuck = this.#stuckFor(0)
    for (const secondary of this.#waiting.needs()) stuck = Math.max(stuck, this.#stuckFor(secondary))
    const wanted = this.#kept() + Math.floor(stuck / driverMaxRequests)
    const complete = this.#openFor(waiting, Math.min(MOST, wanted))
    if (complete && stuck >= MOST * driverMaxRequests) this.#tellCrowded()
    // Those that are slow now may turn out to be stuck.
    clock.set(this.#timer, TICK_MS)
    if (complete) this.#completeAt = clock.now
  }

  /** So many wait elsewhere who could use connections here. No more of these are opened than are kept. */
  widen(waiting: number): void {
    const kept = Math.min(MOST, this.#kept())
    if (this.connections.length + this.#opening < kept) this.#openFor(waiting, kept)
  }

  /** Returns whether there are as many as there may be. */
  #openFor(waiting: number, most: number): boolean {
    const { clock, settings: { driverMaxRequests } } = this.#services
    const needed = Math.ceil(waiting / driverMaxRequests)
    const may = clock.now >= this.#notBefore
    const there = this.connections.filter(one => !one.isRetired).length
    while (may && this.#opening < needed && there + this.#opening < most) {
      this.begun()
      this.#owner.openFor(this)
    }
    return there + this.#opening >= most
  }

  /** How many places are none to wait for, to a call that needs what `secondaryOf` says. */
  #stuckFor(secondary: number): number {
    let stuck = 0
    for (const one of this.connections) stuck += one.outFor(STUCK_MS, secondary)
    return stuck
  }

  /** Each time that somebody has waited twice as long as anybody before. */
  #tellCrowded(): void {
    const waitedMs = this.#services.clock.now - this.#waiting.since!
    if (waitedMs < this.#usualWaitMs) return
    this.#usualWaitMs = 2 * waitedMs
    this.#owner.crowded(this.connections.length, this.#waiting.size, waitedMs)
  }
}
