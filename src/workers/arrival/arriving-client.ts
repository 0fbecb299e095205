import type { RemoteError } from '../../protocol/errors.js'
import type { Identity } from '../../protocol/identity.js'
import type { LogKind } from '../base/log-kinds.js'
import type { ListenerKind } from '../os/listener-kind.js'
import type { Newcomer } from './newcomer.js'
import type { ServedRecord } from '../thread/client-record.js'
import type { Transport, TransportHandler } from '../transport/transport.js'

/** A connection, as the step sees it that it is in. */
export interface ArrivingClient {
  readonly fd: number
  /** By which it came. */
  readonly listener: ListenerKind
  /** It has sent something. */
  heard(): void
  /** Its proxy has told where it is: `address:port`. */
  cameFrom(peer: string): void
  log(kind: LogKind, message: string): void
  /** The step is done. Whoever says so has let go of the connection; later than the end it is not heard. */
  passed(found: Found): void
  /** Ends the connection. */
  close(why: string, kind: LogKind): void
}

/** One step of one connection. It has the connection from `start` on, until it says `passed` or is told to stop. */
export interface ArrivalStep {
  /** May be done at once. An exception ends the connection. */
  start(): void
  /** Lets go of everything but the descriptor. */
  stop(): void
}

/** What a step has found out. */
export interface Found {
  readonly identity?: Identity
  /** By whose number the descriptors are counted that the client sends; undefined where it can send none. */
  readonly sender?: number
  /** The identity cannot be established: what each of the client's calls is answered with. */
  readonly failure?: RemoteError | undefined
  /** What the session is to use instead of the plain socket. */
  readonly secured?: SecuredSocket
  /** As what the client counts that came by another listener: its TLS connection ends at the proxy. */
  readonly listener?: ListenerKind
}

export interface SecuredSocket {
  readonly transport: (handler: TransportHandler) => Transport
  /** No transport was made. */
  readonly free: () => void
}

/** What a session begins with. */
export interface Arrived {
  readonly record: ServedRecord
  readonly fd: number
  readonly newcomer: Newcomer
  readonly failure: RemoteError | undefined
  /** To be called once. */
  readonly transport: (handler: TransportHandler) => Transport
}
