import type { GuestPort } from './guest-port.js'
import type { SharedConnection } from './shared-connection.js'

/** Keeps which of the connections to one socket are idle, whatever name they have open. */
export interface IdleKeeper {
  used(connection: SharedConnection): void
  unused(connection: SharedConnection, endpoint: Endpoint): void
  tooIdle(most: number): SharedConnection | undefined
}

/**
 * A name at the socket of a driver daemon, with the shared connections that have it open and the sessions that use it,
 * whatever their identities. As long as there is a session one connection stays, the oldest: daemons end themselves when
 * their last client has gone, and forget what they had in memory.
 */
export class Endpoint {
  readonly guests = new Set<GuestPort>()
  /** The oldest first. */
  readonly #connections = new Set<SharedConnection>()

  constructor(readonly idle: IdleKeeper) {}

  get isEmpty(): boolean {
    return this.guests.size + this.#connections.size === 0
  }

  /** That which stays. */
  get kept(): SharedConnection | undefined {
    const [oldest] = this.#connections
    return oldest
  }

  mayGo(connection: SharedConnection): boolean {
    return this.guests.size === 0 || connection !== this.kept
  }

  /** As `mayGo`, of one that is of no use: another may stay in its place. */
  get canSpareOne(): boolean {
    return this.guests.size === 0 || this.#connections.size > 1
  }

  add(connection: SharedConnection): void {
    this.#connections.add(connection)
  }

  remove(connection: SharedConnection): void {
    this.#connections.delete(connection)
    this.idle.used(connection)
  }

  used(connection: SharedConnection, yes: boolean): void {
    if (yes) this.idle.used(connection)
    else this.idle.unused(connection, this)
  }
}
