import type { LastHeard } from '../../workers/os/last-heard.js'
import { hasUnread } from '../../workers/os/peek.js'
import type { Client, Clients } from './clients.js'
import { Eviction, type Candidate, type Claim } from './eviction.js'
import type { ListenerState } from './listener-state.js'
import type { Places, Shortage } from './places.js'

/** Clients that were told to go and have not gone: a thread that hangs would make them ever more. */
const MAX_LEAVING = 256

interface Evictable extends Candidate {
  readonly client: Client
  /** Whether its thread may have something of it still to read is known. */
  looked: boolean
}

export interface RoomNeeds {
  readonly clients: Clients
  readonly places: Places
  readonly lastHeard: LastHeard
  /** How many were told to go, and have not gone. */
  leaving(): number
  /** Has the client closed by its thread, which makes it one of those. */
  evict(client: Client, shortage: Shortage): void
}

/** Has clients of one listener, or of all where there are too many, closed for others: as many as it is asked for. */
export class MakingRoom {
  /** What has been found out, by what there is too little of. */
  readonly #evictions = new Map<Shortage, Eviction<Evictable>>()

  constructor(
    readonly listener: ListenerState,
    readonly needs: RoomNeeds
  ) {}

  /** True when there is a place for the claim, which is to be taken at once. */
  for(claim: Claim): boolean {
    for (;;) {
      const shortage = this.needs.places.shortage(this.listener)
      if (shortage === undefined) break
      const eviction = this.#eviction(shortage)
      const chosen = this.needs.leaving() < MAX_LEAVING ? eviction.choose(claim) : undefined
      if (chosen === undefined) return false
      if (this.#waitsToBeRead(chosen)) {
        eviction.spare(chosen)
        continue
      }
      eviction.remove(chosen)
      // For want of something else it may have been told to go already.
      if (chosen.client.leaving) continue
      this.needs.evict(chosen.client, shortage)
    }
    for (const eviction of this.#evictions.values()) eviction.add(claim.owner)
    return true
  }

  #eviction(shortage: Shortage): Eviction<Evictable> {
    let eviction = this.#evictions.get(shortage)
    if (eviction === undefined) this.#evictions.set(shortage, (eviction = new Eviction(this.#candidates(shortage))))
    return eviction
  }

  *#candidates(shortage: Shortage): Generator<Evictable> {
    const { clients, lastHeard } = this.needs
    const now = Date.now()
    for (const client of clients.holding(this.listener, shortage)) {
      const silence = lastHeard.silence(client.fd)
      if (silence === undefined) continue
      yield { client, owner: clients.ownerOf(client), ...silence, ageMs: now - client.since, looked: false }
    }
  }

  /** It is not silent: its thread has not come to it yet. */
  #waitsToBeRead(candidate: Evictable): boolean {
    if (candidate.looked) return false
    candidate.looked = true
    const { fd } = candidate.client
    if (!hasUnread(fd)) return false
    this.needs.lastHeard.hearFor(fd)
    return true
  }
}
