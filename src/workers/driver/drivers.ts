import type { Identity } from '../../protocol/identity.js'
import type { LogKind } from '../base/log-kinds.js'
import type { FrameSource } from '../framing/frame-writer.js'
import type { Comebacks } from './comebacks.js'
import type { DriverPort, DriverUser } from './driver-port.js'
import type { Candidate, Way } from './driver-sockets.js'

/** What is to be opened, and for whom. */
export interface OpenOrder {
  readonly way: Way
  readonly readonly: boolean
  /** Told to the daemon before anybody calls it. */
  readonly identity: Identity
  readonly user: DriverUser
  readonly log: OpeningLog
}

export interface OpeningLog {
  log(kind: LogKind, message: string): void
  /** For what a client can cause again and again. */
  logTrouble(kind: LogKind, message: string): void
}

/** A name that is open at a driver daemon. */
export interface OpenedDriver {
  readonly port: DriverPort
  /** Where that which the port passes on to the client comes from. */
  readonly source: FrameSource
  /** What CONNECT_GET_URI says. */
  readonly uri: string
  readonly candidate: Candidate
  /** Calls the daemon on the broker's behalf. Rejects with RemoteError: the daemon's, or the connection's. */
  call(proc: number, args: Buffer, prog: number): Promise<Buffer>
  /** From now on the user hears of what happens. False: it has been lost meanwhile. */
  serve(): boolean
}

export interface DriverOpening {
  /** Rejects with the RemoteError that the client gets. */
  readonly opened: Promise<OpenedDriver>
  /** Nobody waits for it any more, or uses what came of it. */
  abandon(): void
}

/** All that a session may ask of driver daemons. */
export interface Drivers {
  readonly comebacks: Comebacks
  /** Throws the RemoteError that the client gets for a name which leads nowhere. */
  find(name: string | undefined, readonly: boolean): Way
  /** Connects to the first of the way's sockets on which somebody listens, and opens the name there. */
  open(order: OpenOrder): DriverOpening
}
