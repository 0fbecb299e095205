import { unsupportedArgument } from '../../protocol/bad-arguments.js'
import { stringParam, uintParam, ullongParam, type TypedParam } from '../../protocol/typed-params.js'
import type { Counters } from '../../workers/thread/counters.js'
import type { ClientActivity, ClientRecord } from '../../workers/thread/client-record.js'
import type { BusyReport } from '../../workers/thread/busy-report.js'
import type { ConnectionPage } from '../../workers/thread/driver-report.js'
import type { TraceAnswer } from '../../workers/thread/trace-report.js'
import type { ThreadBounds } from '../threads/thread-slots.js'
import type { Client, Clients } from '../clients/clients.js'
import type { AdminServer, ServerClients, ThreadPool, WantedThreadPool } from './ports.js'
import { checkedBounds } from './thread-pool.js'

/** How many actor threads there are. */
export interface ThreadNumbers {
  /** There can be no more. */
  readonly size: number
  /** There should be so many: one more is started at once, and one fewer leaves when its last client has gone. */
  bounds: ThreadBounds
  /** Those that serve, and those of them that have little to do. */
  readonly serving: number
  readonly idle: number
  /** Connections to driver daemons, of all of them. */
  readonly driverConnections: number
}

/** One of them. */
export interface ThreadState {
  readonly number: number
  readonly clients: number
  readonly busy: boolean
  readonly stuck: boolean
  readonly figures: { readonly driverConnections: number }
}

/** What may be asked of the threads about their clients. */
export interface ThreadAnswers {
  /** What the client's thread has to say of it; undefined if it does not answer in time. */
  activity(client: Client): Promise<ClientActivity | undefined>
  /** Connections of a thread to driver daemons. 'silent': it does not answer in time; undefined: it is gone. */
  connections(thread: number, after: number): Promise<ConnectionPage | 'silent' | undefined>
  /** The clients of each thread that do most. 'silent': it does not answer in time. */
  busiest(): Promise<readonly { thread: number; report: BusyReport | 'silent' }[]>
  /** What a trace has to tell: see Traces. 'silent': the thread does not answer in time. */
  trace(thread: number, id: number, by: number): Promise<TraceAnswer | 'silent' | undefined>
  /** Closes the client; one whose thread does not answer in time loses its connection all the same. */
  disconnect(client: Client): Promise<void>
}

/** The actor threads, as far as administrators have to do with them. */
export interface AdministeredThreads extends ThreadNumbers {
  /** Those that serve. */
  readonly threads: readonly ThreadState[]
  /** What each has counted, those that are gone included. */
  readonly counters: readonly Counters[]
  /** Whether the thread was given the descriptor, and has not taken it up. */
  isGiven(fd: number, thread: number): boolean
  readonly questions: ThreadAnswers
}

/** The server `virtproxyd`: what the broker is for. */
export class BrokerServer implements AdminServer {
  readonly name = 'virtproxyd'
  readonly limits = 'broker'
  readonly tls = true
  readonly clients: ServerClients
  readonly #clients: Clients
  readonly #threads: AdministeredThreads

  constructor(clients: Clients, threads: AdministeredThreads) {
    this.#clients = clients
    this.#threads = threads
    this.clients = new BrokerClients(clients, threads)
  }

  /** Workers are actor threads, and what waits for them are connections. */
  threadPool(): ThreadPool {
    const { bounds, serving, idle } = this.#threads
    let waiting = 0
    for (const { fd, thread } of this.#clients.all()) if (this.#threads.isGiven(fd, thread)) waiting++
    const { min: minWorkers, max: maxWorkers } = bounds
    return { minWorkers, maxWorkers, nWorkers: serving, freeWorkers: idle, prioWorkers: 0, jobQueueDepth: waiting }
  }

  changeThreadPool(wanted: WantedThreadPool): void {
    const { size } = this.#threads
    const { minWorkers: min, maxWorkers: max } = checkedBounds(wanted, this.threadPool())
    if (max > size) throw unsupportedArgument(`maxWorkers cannot be larger than ${size} (actor_threads)`)
    if ((wanted.prioWorkers ?? 0) !== 0) throw unsupportedArgument('prioWorkers is 0: no call keeps those of high priority waiting')
    this.#threads.bounds = { min, max }
  }
}

class BrokerClients implements ServerClients {
  constructor(
    readonly clients: Clients,
    readonly threads: AdministeredThreads
  ) {}

  get size(): number {
    return this.clients.size
  }

  get unauthenticated(): number {
    return this.clients.unauthenticated
  }

  all(): Iterable<ClientRecord> {
    return this.clients.all()
  }

  get(id: number): ClientRecord | undefined {
    return this.clients.get(id)
  }

  async details({ id, state }: ClientRecord): Promise<readonly TypedParam[]> {
    const client = this.clients.get(id)
    if (client === undefined) return [stringParam('state', state)]
    const activity = await this.threads.questions.activity(client)
    return [stringParam('state', state), uintParam('thread', client.thread), ...(activity === undefined ? [] : described(activity))]
  }

  async disconnect({ id }: ClientRecord): Promise<void> {
    const client = this.clients.get(id)
    if (client !== undefined) await this.threads.questions.disconnect(client)
  }
}

/** Names have at most 15 characters, for which `virt-admin` leaves room. */
const described = (
  { driver, uri, callsInFlight, callsWaiting, streams, bytesIn, bytesOut, idleMs, tls }: ClientActivity
): TypedParam[] => [
  ...(driver === undefined ? [] : [stringParam('driver', driver)]),
  ...(uri === '' ? [] : [stringParam('uri', uri)]),
  uintParam('calls_in_flight', callsInFlight),
  uintParam('calls_waiting', callsWaiting),
  uintParam('streams', streams),
  ullongParam('bytes_in', bytesIn),
  ullongParam('bytes_out', bytesOut),
  uintParam('idle_seconds', Math.floor(idleMs / 1000)),
  ...(tls === undefined ? [] : [stringParam('tls_version', tls.version), stringParam('tls_cipher', tls.cipher)])
]
