import { bounded, userOf, type ClientSummary, type Summarised } from './summary.js'

const MOST = 1000
const MAX_REASON = 256

/** A client that has gone. */
export interface ClosedClient extends ClientSummary {
  /** From 1, in the order in which clients went. */
  readonly number: number
  /** When, in milliseconds since the epoch. */
  readonly closed: number
  readonly reason: string
}

/** The clients that went last, as far as the supervisor was told of them. */
export class ClosedClients {
  readonly #slots: ClosedClient[] = []
  #count = 0

  add(client: Summarised, reason: string): void {
    const number = ++this.#count
    const { id, since, listener, peer, state, opened, thread, identity } = client
    // In one piece: an object that is put together of others costs five times as much, at each end of a client.
    this.#slots[number % MOST] = {
      id, since, listener, peer, state, opened, thread, pid: identity.processId, user: userOf(identity),
      number, closed: Date.now(), reason: bounded(reason, MAX_REASON)
    }
  }

  /** How many have ever gone. */
  get count(): number {
    return this.#count
  }

  /** In the order in which they went. */
  *after(number: number): Generator<ClosedClient> {
    for (let next = Math.max(number, this.#count - MOST, 0) + 1; next <= this.#count; next++) yield this.#slots[next % MOST]!
  }
}
