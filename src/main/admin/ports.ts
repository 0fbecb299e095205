import type { TypedParam } from '../../protocol/typed-params.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'
import type { ClientBounds } from '../clients/admission.js'
import type { LogSettings } from '../config/log-settings.js'

/** Which limits of clients. */
export type Bounded = 'broker' | 'admin'

/**
 * What an administrator may change of the broker as a whole. A change is effective in all threads when it resolves, and
 * stays until the configuration is loaded anew. What `change` throws it rejects with, and nothing has changed then.
 */
export interface BrokerControl {
  /** In use, outputs as they are opened. */
  readonly log: Omit<LogSettings, 'format'>
  changeLog(change: Partial<LogSettings>): Promise<void>
  limits(of: Bounded): ClientBounds
  changeLimits(of: Bounded, change: (now: ClientBounds) => ClientBounds): Promise<void>
  /** Rejects with StartupError. */
  updateTls(): Promise<void>
  /** The broker is to end when there has been no client for so many seconds; 0: it is not. */
  setTimeout(seconds: number): void
  /** As SIGTERM. */
  shutDown(): void
}

/** Values by their names in libvirt's typed parameters, all of type uint. */
export type Figures<Name extends string> = Readonly<Record<Name, number>>
export type ThreadPool = Figures<'minWorkers' | 'maxWorkers' | 'nWorkers' | 'freeWorkers' | 'prioWorkers' | 'jobQueueDepth'>
export type WantedThreadPool = Partial<Figures<'minWorkers' | 'maxWorkers' | 'prioWorkers'>>

/** Those who are connected to a server. */
export interface ServerClients {
  readonly size: number
  /** Of them, those that have still to log in. */
  readonly unauthenticated: number
  /** In the order of connection. */
  all(): Iterable<ClientRecord>
  get(id: number): ClientRecord | undefined
  /** Beyond what its record has. */
  details(client: ClientRecord): Promise<readonly TypedParam[]> | readonly TypedParam[]
  /** Closes its connection at once, whatever it is doing. Its peer can see that when it is done. */
  disconnect(client: ClientRecord): Promise<void> | void
}

/** A server as libvirt has them: what the broker serves, and the admin socket itself. */
export interface AdminServer {
  readonly name: string
  readonly limits: Bounded
  /** It may have TLS listeners. */
  readonly tls: boolean
  readonly clients: ServerClients
  threadPool(): ThreadPool
  /** Values that are not given stay as they are. Throws RemoteError. */
  changeThreadPool(wanted: WantedThreadPool): Promise<void> | void
}
