import type { AuthMethod, TransportKind } from '../os/listener-kind.js'

/** What the supervisor says of a connection that it hands to an actor. */
export interface Admission {
  /** Never used again while the process lives. */
  id: number
  fd: number
  transport: TransportKind
  /** `address:port` of a client that came over the network. */
  peer: string | undefined
  readonly: boolean
  auth: AuthMethod
  /** When the thread that serves it took it up, by that one's clock. */
  takenAt?: number
}
