import type { ListenerKind } from '../../workers/os/listener.js'

/** How many clients are allowed. */
export interface PlaceLimits {
  /** Of all listeners together. Beyond it each listener has `guaranteed` of its own, so that none can fill another's. */
  clients: number
  guaranteed: number
  /** Of one listener, that have still to log in, and that are in their TLS handshake; 0 is no limit. */
  logins: number
  handshakes: number
}

/** How far a client is. On a listener without authentication all are in. */
export type Stage = 'handshake' | 'login' | 'in'

/** What there is too little of for one more client. */
export type Shortage = 'handshakes' | 'logins' | 'clients'

/** The clients of one listener, counted. Sockets for several addresses are one listener. */
export class ListenerPlaces {
  readonly counts: Record<Stage, number> = { handshake: 0, login: 0, in: 0 }

  constructor(readonly kind: ListenerKind) {}

  get size(): number {
    const { handshake, login, in: logged } = this.counts
    return handshake + login + logged
  }
}

/** Who takes a place. */
export interface Occupant {
  readonly places: ListenerPlaces
  stage: Stage
  /** One of root's own, which counts nowhere else. */
  rootsOwn: boolean
}

/** Who may come in: nothing but numbers. */
export class Places {
  #size = 0
  /** Those on root's own places. */
  readonly #root = new Set<Occupant>()

  constructor(readonly limits: PlaceLimits) {}

  /** How many of root's own are taken. */
  get rootsPlaces(): number {
    return this.#root.size
  }

  /** Why the listener cannot have one more client, if so. */
  shortage(listener: ListenerPlaces): Shortage | undefined {
    const { logins, handshakes } = this.limits
    if (handshakes > 0 && listener.counts.handshake >= handshakes) return 'handshakes'
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
    if (!occupant.rootsOwn) this.#count(occupant, -1)
    occupant.stage = stage
    if (!occupant.rootsOwn) this.#count(occupant, 1)
    this.#releaseRoot()
  }

  #isFull({ size }: ListenerPlaces): boolean {
    return this.#size >= this.limits.clients && size >= this.limits.guaranteed
  }

  /** Root's own places are for coming in: one who is in takes any other as soon as there is one. */
  #releaseRoot(): void {
    for (const occupant of this.#root) {
      if (occupant.stage !== 'in' || this.#isFull(occupant.places)) continue
      this.#root.delete(occupant)
      occupant.rootsOwn = false
      this.#count(occupant, 1)
    }
  }

  #count({ places, stage }: Occupant, by: 1 | -1): void {
    places.counts[stage] += by
    this.#size += by
  }
}
