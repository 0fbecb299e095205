import { Clock, type Closable } from '../../workers/base/clock.js'
import { failureText, SOURCE } from '../../workers/base/log.js'
import { peerCredentials, peerSecurityContext } from '../../workers/os/accounts.js'
import type { FdLedger } from '../../workers/os/fd-ledger.js'
import { ForeignCloser } from '../../workers/os/foreign-close.js'
import type { Listener, ListenerHandler } from '../../workers/os/listener.js'
import type { Poller } from '../../workers/os/poller.js'
import type { Procedure, Programs } from '../../workers/serving/dispatch.js'
import { Server } from '../../workers/serving/server.js'
import { Turns } from '../../workers/thread/turns.js'
import { makeReadBuffer, type ThreadIo } from '../../workers/transport/thread-io.js'
import { SplicePipe } from '../../workers/transport/splice-pipe.js'
import type { AdminWatcher } from '../audit/admin-records.js'
import type { ClientBounds } from '../clients/admission.js'
import type { ClientWatcher } from '../clients/admitted-clients.js'
import type { BoundedLog } from '../log/bounded-log.js'
import { AdminClient } from './admin-client.js'
import { recorded } from './recorded-calls.js'

/** The supervisor's number in the ledger of descriptors: no thread comes to have it. */
const OWNER = 1 << 28
/** Longer frames make no sense here, whatever libvirt allows. */
const MAX_FRAME_BYTES = 1024 * 1024
/** Whoever does not call anything takes a place away from those who do. */
const FIRST_CALL_MS = 10_000
/** Twice as many connections of strangers as may wait to be closed. */
const MAX_HELD = 256

/** What it has of the supervisor. */
export interface AdminHost {
  readonly poller: Poller
  readonly ledger: FdLedger
  readonly log: BoundedLog
  /** Who is told of strangers, and of what administrators change. */
  readonly audit: { readonly records: { readonly sessions: Pick<ClientWatcher, 'turnedAway'>; readonly admin: AdminWatcher } | undefined }
  /** The first client has come, or the last has gone. */
  idle(idle: boolean): void
}

interface Serving {
  readonly server: Server<AdminClient>
  readonly clock: Clock
  end(): void
}

/**
 * The admin socket: whose user we are, or root, may come in, and everybody else is shown nothing. It is served by the
 * supervisor itself, apart from all clients of the broker. As long as nobody is connected it has nothing but its listener.
 */
export class AdminSocket implements ListenerHandler {
  readonly clients = new Map<number, AdminClient>()
  #limits: ClientBounds
  readonly #host: AdminHost
  /** Its own: whoever keeps that of the other sockets busy keeps nobody out here. */
  readonly #closer: ForeignCloser
  #programs: Programs<AdminClient> = new Map()
  readonly #listeners = new Set<Listener>()
  /** While somebody is connected. */
  #serving: Serving | undefined
  #ids = 0

  constructor(host: AdminHost, limits: ClientBounds) {
    this.#host = host
    this.#closer = new ForeignCloser(host.ledger, MAX_HELD)
    this.#limits = limits
  }

  /** To be called before the first client comes. */
  serve(programs: Programs<AdminClient>): void {
    const heard = (procedure: Procedure<AdminClient> | undefined): typeof procedure => procedure && (call => {
      this.#serving?.clock.cancel(call.client.deadline)
      return procedure(call)
    })
    const watcher = (): AdminWatcher | undefined => this.#host.audit.records?.admin
    this.#programs = new Map([...programs].map(([number, program]) => [number, recorded(number, program, watcher).map(heard)]))
  }

  get limits(): ClientBounds {
    return this.#limits
  }

  /** Nobody who is connected has to go for it. */
  apply(limits: ClientBounds): void {
    this.#limits = limits
    this.#reopen()
  }

  /** Closes all connections at once. */
  close(): void {
    this.#serving?.end()
  }

  // Accepting

  mayAccept(listener: Listener): boolean {
    if (!this.#closer.hasRoom()) return this.#waitForRoom(listener)
    const may = this.clients.size < this.#limits.maxClients
    if (!may) this.#listeners.add(listener)
    return may
  }

  /** Strangers come faster than they can be sent away. */
  #waitForRoom(listener: Listener): false {
    const text = (): string => `${listener.place}: refused connections wait to be closed: no more taken for now`
    this.#host.log.log('closing-behind', 'admin closing', 1, text, { listener: listener.kind.name })
    this.#closer.whenRoom(undefined, () => listener.resume())
    return false
  }

  accepted({ kind, place }: Listener, fd: number): void {
    const { log } = this.#host
    const about = { listener: kind.name }
    const peer = peerCredentials(fd)
    if (peer === undefined || (peer.uid !== 0 && peer.uid !== process.geteuid!())) {
      const who = peer === undefined ? 'a client that the kernel does not know' : `client ${peer.pid} with uid ${peer.uid}`
      log.log('admin-stranger', 'admin stranger', 10, () => `${place}: operation forbidden: Disallowing ${who}`, about)
      const identity = peer && { userId: peer.uid, processId: peer.pid }
      this.#host.audit.records?.sessions.turnedAway(kind, undefined, 'not allowed at the admin socket', identity)
      return this.#closer.closeSocket(fd, peer?.uid)
    }
    const context = peerSecurityContext(fd)
    try {
      this.#serving ??= this.#start()
      const { server, clock } = this.#serving
      server.accept(fd, peer.uid, connection => {
        const client = new AdminClient(++this.#ids, kind, peer, context, connection)
        clock.set(client.deadline, FIRST_CALL_MS)
        this.clients.set(client.id, client)
        if (this.clients.size === 1) this.#host.idle(false)
        return client
      })
    } catch (error) {
      log.log('admin-refused', 'admin refused', 10, () => `${place}: ${(error as Error).message}`, about)
      this.#closer.closeSocket(fd, peer.uid)
    }
  }

  acceptedAll(): void {}

  trouble({ kind, place }: Listener, message: string): void {
    this.#host.log.log('listener-failed', 'admin trouble', 1, () => `${place}: ${message}`, { listener: kind.name })
  }

  #reopen(): void {
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of listeners) listener.resume()
  }

  #start(): Serving {
    const { poller, ledger } = this.#host
    const closer = this.#closer
    const failed = (session: Closable | undefined, error: unknown): void => {
      this.#failed(error)
      session?.close('internal failure', 'internal-failure')
    }
    const turns = new Turns(failed)
    poller.onPoll = () => turns.polled()
    poller.onPolled = () => turns.pollOver()
    const pipe = new SplicePipe(ledger, OWNER)
    const io: ThreadIo = { poller, ledger, owner: OWNER, closer, buffer: makeReadBuffer(), pipe, failed }
    const clock = new Clock(failed)
    const service = {
      programs: this.#programs,
      maxFrameBytes: MAX_FRAME_BYTES,
      answered: () => undefined,
      left: (client: AdminClient) => {
        clock.cancel(client.deadline)
        this.#left(client)
      },
      failed: (error: unknown) => this.#failed(error)
    }
    const server = new Server<AdminClient>({ io, turns, clock }, service)
    const end = (): void => {
      this.#serving = undefined
      server.close()
      clock.stop()
      pipe.close()
      poller.onPoll = () => undefined
    }
    return { server, clock, end }
  }

  #left({ id }: AdminClient): void {
    this.clients.delete(id)
    this.#reopen()
    if (this.clients.size > 0) return
    this.#host.idle(true)
    // Not while its last connection is about to be closed.
    setImmediate(() => {
      if (this.clients.size === 0) this.#serving?.end()
    })
  }

  #failed(error: unknown): void {
    this.#host.log.logger.log('internal-failure', SOURCE.server, `unexpected failure: ${failureText(error)}`)
  }
}
