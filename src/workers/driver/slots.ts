/** Who made a call, and the serial under which he knows it. */
export interface Caller<User> {
  readonly user: User
  readonly serial: number
}

/**
 * Calls of several users that one daemon has and has not answered: which user made each, and under which serial he knows
 * it. A slot outlives its user: until the daemon answers, it works for him.
 */
export class Slots<User extends object> {
  readonly #users: (User | undefined)[] = []
  /** The users' serials and those that the daemon knows, as signed words: small integers to V8. */
  readonly #serials: number[] = []
  readonly #given: number[] = []
  /** When each was taken, in the clock's milliseconds. */
  readonly #since: number[] = []
  #last = 0

  /** `last`: serial of its last call, if it had any. */
  constructor(last = 0) {
    this.#last = last
  }

  get size(): number {
    return this.#users.length
  }

  /** Returns the serial under which the daemon is to know the call: none that is out. */
  take(user: User, serial: number, now: number): number {
    do this.#last = this.#last >= MAX_SERIAL ? 1 : this.#last + 1
    while (this.#given.includes(this.#last))
    this.#users.push(user)
    this.#serials.push(serial | 0)
    this.#given.push(this.#last)
    this.#since.push(now)
    return this.#last
  }

  /** The place of the call that the daemon knows by that serial, until the next is removed; -1 if there is none. */
  find(given: number): number {
    return this.#given.indexOf(given)
  }

  /** Undefined: he has gone. */
  userAt(place: number): User | undefined {
    return this.#users[place]
  }

  serialAt(place: number): number {
    return this.#serials[place]! >>> 0
  }

  /** When it was taken. */
  sinceAt(place: number): number {
    return this.#since[place]!
  }

  remove(place: number): void {
    removeAt(this.#users, place)
    removeAt(this.#serials, place)
    removeAt(this.#given, place)
    removeAt(this.#since, place)
  }

  /** The call in that place is another's from now on, or nobody's. */
  pass(place: number, to: Caller<User> | undefined): void {
    this.#users[place] = to?.user
    if (to !== undefined) this.#serials[place] = to.serial | 0
  }

  /** This user waits for the answers to his calls no more. `heir`: who does, by the serial that the daemon knows. */
  forget(user: User, heir?: (given: number) => Caller<User> | undefined): void {
    for (let at = 0; at < this.#users.length; at++) if (this.#users[at] === user) this.pass(at, heir?.(this.#given[at]!))
  }

  /** Nobody waits for the answer to any of them. */
  get abandoned(): boolean {
    return this.#users.every(user => user === undefined)
  }

  users(): Set<User> {
    return new Set(this.#users.filter(user => user !== undefined))
  }

  /** When the oldest was taken; undefined if there is none. */
  get oldest(): number | undefined {
    return this.#since.length === 0 ? undefined : Math.min(...this.#since)
  }

  /** How many have been out since `time` or longer. */
  takenBy(time: number): number {
    let count = 0
    for (const since of this.#since) if (since <= time) count++
    return count
  }
}

/** A small integer to V8, and far from the serials of the broker's own calls. */
const MAX_SERIAL = 2 ** 30 - 1

/** The last takes its place. */
function removeAt<T>(list: T[], place: number): void {
  const last = list.pop()!
  if (place < list.length) list[place] = last
}
