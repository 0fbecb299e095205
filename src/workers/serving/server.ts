import type { Clock } from '../base/clock.js'
import type { Turns } from '../thread/turns.js'
import type { ThreadIo } from '../transport/thread-io.js'
import { PolledLink } from './link.js'
import { ServerSession, type Connection, type Service } from './server-session.js'

/** What the connections of one thread share. */
export interface ServerThread {
  readonly io: ThreadIo
  readonly turns: Turns
  readonly clock: Clock
}

/** Serves the calls of all who are let in. Who that is, and how many, is up to whoever accepts them. */
export class Server<Client> {
  readonly #links = new Set<PolledLink>()

  constructor(
    readonly thread: ServerThread,
    readonly service: Service<Client>
  ) {}

  /** Clients that are connected. */
  get size(): number {
    return this.#links.size
  }

  /**
   * Takes over a connection, of a UNIX socket, whose descriptor is not in the ledger yet. `sender`: by whose number the
   * descriptors are counted that come by it. `connected` makes what the service keeps of the client.
   */
  accept(fd: number, sender: number, connected: (connection: Connection) => Client): void {
    const { io, turns, clock } = this.thread
    io.ledger.adopt(fd, io.owner)
    const gone = (): boolean => this.#links.delete(link)
    const host = { service: this.service, clock, closer: io.closer, connected, gone }
    const link: PolledLink = new PolledLink(io, turns, fd, sender, end => new ServerSession(end, host))
    this.#links.add(link)
  }

  /** Closes all connections at once; the service hears nothing more of them. */
  close(): void {
    for (const link of this.#links) link.destroy()
    this.#links.clear()
  }
}
