import type { ListenerKind } from '../../workers/os/listener-kind.js'

/** How many clients are allowed. */
export interface PlaceLimits {
  /** Of all listeners together. Beyond it each listener has `guaranteed` of its own, so that none can fill another's. */
  clients: number
  guaranteed: number
  /** Of one listener, that have still to log in; 0 is no limit. */
  logins: number
  /** Of one listener, that are in their TLS handshake; 0 is no limit. More where they get on: see MOST_TIMES. */
  handshakes: number
}

/**
 * Where the way to the clients is long, a handshake is mostly waiting for them. So there may be as many at a time as were
 * done within a second, up to so many times the limit.
 */
const MOST_TIMES = 4
const PACE_MS = 1000

/** How far a client is. On a listener without authentication all are in. */
export type Stage = 'handshake' | 'login' | 'in'

/** What there is too little of for one more client. */
export type Shortage = 'handshakes' | 'logins' | 'clients'

/** The clients of one listener, counted. Sockets for several addresses are one listener. */
export class ListenerPlaces {
  readonly counts: Record<Stage, number> = { handshake: 0, login: 0, in: 0 }
  /** Handshakes done since `#since`, and in the second before. */
  #done = 0
  #doneBefore = 0
  #since = 0

  constructor(readonly kind: ListenerKind) {}

  handshakeDone(now: number): void {
    this.handshakesPerSecond(now)
    this.#done++
  }

  handshakesPerSecond(now: number): number {
    const passed = now - this.#since
    if (passed >= PACE_MS) {
      this.#doneBefore = passed < 2 * PACE_MS ? this.#done : 0
      this.#done = 0
      this.#since = now
    }
    return Math.max(this.#done, this.#doneBefore)
  }

  get size(): number {
    const { handshake, login, in: logged } = this.counts
    return handshake + login + logged
  }
}

/** Who takes a place. */
export interface Occupant {
  /** Of its listener. */
  readonly at: ListenerPlaces
  stage: Stage
  /** One of root's own, which counts nowhere else. */
  rootsOwn: boolean
}

/** Who may come in: nothing but numbers. */
export class Places {
  #size = 0
  /** Those on root's own places. */
  readonly #root = new Set<Occupant>()

  /** `now`: milliseconds of any clock. */
  constructor(
    public limits: PlaceLimits,
    readonly now = (): number => performance.now()
  ) {}

  /** How many of root's own are taken. */
  get rootsPlaces(): number {
    return this.#root.size
  }

  /** Why the listener cannot have one more client, if so. */
  shortage(listener: ListenerPlaces): Shortage | undefined {
    const { logins, handshakes } = this.limits
    if (handshakes > 0 && listener.counts.handshake >= handshakes && this.#tooManyHandshakes(listener)) return 'handshakes'
    if (logins > 0 && listener.counts.login >= logins) return 'logins'
    return this.#isFull(listener) ? 'clients' : undefined
  }

  enter(occupant: Occupant): void {
    if (occupant.rootsOwn) this.#root.add(occupant)
    else this.#count(occupant, 1)
  }

  leave(occupant: Occupant): void {
    if (this.#root.delete(occupant)) return
    this.#count(occupant, -1)
    this.#releaseRoot()
  }

  advance(occupant: Occupant, stage: Stage): void {
    if (occupant.stage === 'handshake') occupant.at.handshakeDone(this.now())
    if (!occupant.rootsOwn) this.#count(occupant, -1)
    occupant.stage = stage
    if (!occupant.rootsOwn) this.#count(occupant, 1)
    this.#releaseRoot()
  }

  #tooManyHandshakes(listener: ListenerPlaces): boolean {
    const most = Math.min(MOST_TIMES * this.limits.handshakes, listener.handshakesPerSecond(this.now()))
    return listener.counts.handshake >= most
  }

  #isFull({ size }: ListenerPlaces): boolean {
    return this.#size >= this.limits.clients && size >= this.limits.guaranteed
  }

  /** Root's own places are for coming in: one who is in takes any other as soon as there is one. */
  #releaseRoot(): void {
    for (const occupant of this.#root) {
      if (occupant.stage !== 'in' || this.#isFull(occupant.at)) continue
      this.#root.delete(occupant)
      occupant.rootsOwn = false
      this.#count(occupant, 1)
    }
  }

  #count({ at, stage }: Occupant, by: 1 | -1): void {
    at.counts[stage] += by
    this.#size += by
  }
}
