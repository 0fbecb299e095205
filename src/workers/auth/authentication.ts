import type { Header } from '../../protocol/header.js'
import type { RemoteError } from '../../protocol/errors.js'
import type { Identity } from '../../protocol/identity.js'
import type { AuthType } from '../../protocol/messages/auth.js'
import type { LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { ThreadServices } from '../thread/services.js'
import type { Authority } from '../polkit/authority.js'
import type { SaslThreadClient } from '../sasl/thread-client.js'

/**
 * One way of letting a client in, made for one client. It is asked only while the client is not in yet; after that
 * AUTH_LIST says `none` and every other AUTH procedure is refused, whatever the method.
 */
export interface Authentication {
  /** What AUTH_LIST is to say. It may let the client in at once, by `applicant.authenticated`. */
  list(): AuthType
  /** Takes an AUTH procedure that is its own, and answers it sooner or later; false for another's. */
  take(call: Header, body: Buffer): boolean
  /** The client is in, or gone. Nothing more is answered. */
  end(): void
}

/** What a method sees of the client's session. */
export interface Applicant {
  /** With the identity that the socket tells. */
  readonly record: ClientRecord
  log(kind: LogKind, message: string, source: LogSource): void
  reply(call: Header, body: Buffer): void
  refuse(call: Header, error: RemoteError): void
  /** The client is in; `identity` is what this method found out. */
  authenticated(identity: Identity): void
  /** Gives the client the whole login deadline again, for the time that somebody needs to type a password. */
  restartDeadline(): void
  close(why: string, kind: LogKind): void
}

/** What methods need of their thread. */
export interface AuthServices {
  readonly thread: Pick<ThreadServices, 'settings'>
  readonly polkit: Pick<Authority, 'check'>
  readonly sasl: Pick<SaslThreadClient, 'attempt'>
}
