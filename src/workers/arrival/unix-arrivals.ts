import { Timer, type Clock } from '../base/clock.js'
import { SOURCE, type Log } from '../base/log.js'
import type { AccountNames } from '../names/account-names.js'
import { identifyUnixPeer, type Identified } from './unix-peer.js'
import type { Admission } from '../thread/admission.js'
import type { ActorSettings } from '../thread/settings.js'

export interface ArrivalsOwner {
  readonly clock: Clock
  readonly settings: ActorSettings
  readonly names: AccountNames
  /** The client is known, as far as it can be. */
  begin(admission: Admission, identified: Identified): void
  /** It goes no further: its descriptor is to be closed. */
  turnAway(admission: Admission, why: string): void
  failed(error: unknown): void
  log: Log
}

/** Clients of the UNIX sockets from their admission until their names are known: the login deadline is theirs already. */
export class UnixArrivals {
  readonly #owner: ArrivalsOwner
  readonly #waiting = new Map<number, { admission: Admission; deadline: Timer }>()

  constructor(owner: ArrivalsOwner) {
    this.#owner = owner
  }

  get size(): number {
    return this.#waiting.size
  }

  get admissions(): Admission[] {
    return [...this.#waiting.values()].map(({ admission }) => admission)
  }

  /** Takes over a connection whose descriptor is in the ledger. */
  accept(admission: Admission): void {
    try {
      const identified = identifyUnixPeer(admission.fd, this.#owner.names)
      if (identified instanceof Promise) this.#await(admission, identified)
      else this.#owner.begin(admission, identified)
    } catch (error) {
      this.#owner.failed(error)
      this.#owner.turnAway(admission, 'internal failure')
    }
  }

  /** Closes a connection that waits. False if it is not here. */
  close(id: number, why: string): boolean {
    const arrival = this.#waiting.get(id)
    if (arrival === undefined) return false
    this.#leave(id)
    this.#owner.turnAway(arrival.admission, why)
    return true
  }

  closeAll(why: string): void {
    for (const id of [...this.#waiting.keys()]) this.close(id, why)
  }

  #await(admission: Admission, identified: Promise<Identified>): void {
    const { clock, settings } = this.#owner
    const { id } = admission
    const deadline = new Timer({ timeUp: () => this.#tooLate(id) })
    this.#waiting.set(id, { admission, deadline })
    if (settings.loginTimeoutMs > 0) clock.set(deadline, settings.loginTimeoutMs)
    identified.then(
      known => this.#leave(id) && this.#owner.begin(admission, known),
      (error: unknown) => {
        this.#owner.failed(error)
        this.close(id, 'internal failure')
      }
    )
  }

  #tooLate(id: number): void {
    const why = 'names of user and group not found in time'
    this.#owner.log('warning', SOURCE.client, `closed: ${why}`, { client: { id, from: undefined } })
    this.close(id, why)
  }

  #leave(id: number): boolean {
    const arrival = this.#waiting.get(id)
    if (arrival !== undefined) this.#owner.clock.cancel(arrival.deadline)
    return this.#waiting.delete(id)
  }
}
