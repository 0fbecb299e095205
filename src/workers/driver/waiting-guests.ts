import type { GuestPort } from './guest-port.js'

/**
 * Sessions that have calls for which there was no room, in the order in which they came. Those that cannot go although there
 * is room for others stand apart, so that they keep nobody who can.
 */
export class WaitingGuests {
  /** Since when. */
  readonly #queue = new Map<GuestPort, number>()
  /** Goes on with those that come while it is not at its end, and need not pass those that have gone. */
  #next = this.#queue.keys()
  /** By what they need of a connection, as `secondaryOf` says; 0 for those that are kept by the order of their own calls. */
  readonly #apart = new Map<number, Map<GuestPort, number>>()

  get size(): number {
    let size = this.#queue.size
    for (const apart of this.#apart.values()) size += apart.size
    return size
  }

  /** How many go as soon as there is room. */
  get inLine(): number {
    return this.#queue.size
  }

  /** Some stand apart that need this of a connection. */
  hasApart(secondary: number): boolean {
    const apart = this.#apart.get(secondary)
    return apart !== undefined && apart.size > 0
  }

  /** Whether somebody is to go before another comes whose call needs that. */
  precede(secondary: number): boolean {
    return this.#queue.size > 0 || (secondary !== 0 && this.hasApart(secondary))
  }

  /** What those who stand apart need of a connection. */
  needs(): number[] {
    return [...this.#apart.keys()].filter(secondary => this.hasApart(secondary))
  }

  /** `lacks`: what keeps it though there is room, if that is so. */
  add(guest: GuestPort, lacks: number | undefined, now: number): void {
    for (const [secondary, apart] of this.#apart) if (secondary !== lacks) apart.delete(guest)
    if (lacks === undefined) {
      this.#queue.set(guest, now)
      return
    }
    this.#queue.delete(guest)
    let apart = this.#apart.get(lacks)
    if (apart === undefined) this.#apart.set(lacks, (apart = new Map<GuestPort, number>()))
    apart.set(guest, now)
  }

  delete(guest: GuestPort): void {
    this.#queue.delete(guest)
    for (const apart of this.#apart.values()) apart.delete(guest)
  }

  /** Of those that stand apart as many have a turn again as there are `places`. */
  readmit(places: (secondary: number) => number): void {
    for (const [secondary, apart] of this.#apart) {
      let count = apart.size === 0 ? 0 : places(secondary)
      // Each of these may go where the others cannot.
      if (secondary === 0 && count > 0) count = apart.size
      for (const [guest, since] of apart) {
        if (count-- <= 0) break
        apart.delete(guest)
        this.#queue.set(guest, since)
      }
    }
  }

  /** The one in line that has waited longest waits no more. */
  shift(): GuestPort | undefined {
    let next = this.#next.next()
    if (next.done === true) {
      this.#next = this.#queue.keys()
      next = this.#next.next()
    }
    if (next.done === true) return undefined
    this.#queue.delete(next.value)
    return next.value
  }

  /** None of them waits any more. */
  takeAll(): GuestPort[] {
    const all = [this.#queue, ...this.#apart.values()].flatMap(some => [...some.keys()])
    for (const guest of all) this.delete(guest)
    return all
  }

  /** Since when the first of them waits; undefined if nobody does. */
  get since(): number | undefined {
    let first: number | undefined
    for (const some of [this.#queue, ...this.#apart.values()]) {
      const [since] = some.values()
      if (since !== undefined && (first === undefined || since < first)) first = since
    }
    return first
  }
}
