import { Timer, type Clock, type Timed } from '../base/clock.js'
import type { GuestPort } from './guest-port.js'
import type { SharedConnection } from './shared-connection.js'

/** A call that has been out for so long waits for something, and the place that it takes is no place to wait for. */
const STUCK_MS = 100
/** Connections of one group, whatever is stuck on them. */
const MOST = 32
const RETRY_MS = 1000
const NEVER = -1

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
  /** Sessions that have calls for which there was no room, in the order in which they came, and since when. */
  readonly #waiting = new Map<GuestPort, number>()
  /** Goes on with those that come while it is not at its end, and need not pass those that have gone. */
  #next = this.#waiting.keys()
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

  /** Nobody waits for one. */
  get isCalm(): boolean {
    return this.#waiting.size === 0
  }

  get hasRoom(): boolean {
    return this.connections.some(one => one.hasRoom(0))
  }

  /** A connection with room for the guest's next call, if it is its turn. */
  pick(guest: GuestPort, secondary: number): SharedConnection | undefined {
    if (this.#waiting.size > 0 && this.#turn !== guest) return undefined
    this.#turn = undefined
    const tied = this.#tied(guest)
    if (tied !== undefined) return tied.hasRoom(secondary) ? tied : undefined
    let best: SharedConnection | undefined
    for (const one of this.connections) {
      if (one.hasRoom(secondary) && (best === undefined || one.out < best.out)) best = one
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
  wait(guest: GuestPort): void {
    this.#waiting.set(guest, this.#services.clock.now)
    if (this.#completeAt !== this.#services.clock.now) this.#grow()
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
  serve(elsewhere = (): boolean => false): void {
    if (this.#serving || this.#waiting.size === 0) return
    this.#serving = true
    for (let count = this.#waiting.size; count > 0 && (this.hasRoom || elsewhere()); count--) {
      const guest = this.#shift()
      if (guest === undefined) break
      this.#turn = guest
      guest.judged()
    }
    this.#turn = undefined
    this.#serving = false
    if (this.#completeAt !== this.#services.clock.now) this.#grow()
  }

  /** The one that has waited longest waits no more. */
  #shift(): GuestPort | undefined {
    let next = this.#next.next()
    if (next.done === true) {
      this.#next = this.#waiting.keys()
      next = this.#next.next()
    }
    if (next.done === true) return undefined
    this.#waiting.delete(next.value)
    return next.value
  }

  /** One more is being opened. */
  begun(): void {
    this.#opening++
  }

  opened(connection: SharedConnection): void {
    this.#opening--
    this.connections.push(connection)
    this.serve()
  }

  /** It is tried again for those who still wait, but not at once. */
  notOpened(): void {
    this.#opening--
    this.#notBefore = this.#services.clock.now + RETRY_MS
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
    let stuck = 0
    for (const one of this.connections) stuck += one.outFor(STUCK_MS)
    const wanted = this.#kept() + Math.floor(stuck / driverMaxRequests)
    const most = Math.min(MOST, wanted)
    const needed = Math.ceil(waiting / driverMaxRequests)
    const may = clock.now >= this.#notBefore
    const there = this.connections.filter(one => !one.isRetired).length
    while (may && this.#opening < needed && there + this.#opening < most) {
      this.begun()
      this.#owner.openFor(this)
    }
    if (wanted > MOST) this.#tellCrowded()
    // Those that are slow now may turn out to be stuck.
    clock.set(this.#timer, STUCK_MS)
    if (there + this.#opening >= most) this.#completeAt = clock.now
  }

  /** Each time that somebody has waited twice as long as anybody before. */
  #tellCrowded(): void {
    const [since] = this.#waiting.values()
    const waitedMs = this.#services.clock.now - since!
    if (waitedMs < this.#usualWaitMs) return
    this.#usualWaitMs = 2 * waitedMs
    this.#owner.crowded(this.connections.length, this.#waiting.size, waitedMs)
  }
}
