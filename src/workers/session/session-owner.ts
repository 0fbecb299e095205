import type { RemoteError } from '../../protocol/errors.js'
import type { AuthServices } from '../auth/authentication.js'
import type { LogKind } from '../base/log-kinds.js'
import type { Drivers } from '../driver/drivers.js'
import type { Policy } from '../policy/policy.js'
import type { ServedRecord } from '../thread/client-record.js'

/** Who says whether a client may come in and what it may do, and what it then gets at. */
export interface SessionAccess extends Pick<AuthServices, 'polkit' | 'sasl'> {
  readonly policy: Pick<Policy, 'verdictsFor'>
  readonly drivers: Drivers
}

/** Who keeps a session. */
export interface SessionOwner {
  /** Something has changed in the record. */
  changed(record: ServedRecord): void
  /** It has opened a name, which stands in the record. */
  opened(record: ServedRecord): void
  /** A client could not prove who it is, or may not come in. It may try again. */
  loginRefused(record: ServedRecord, why: string): void
  /**
   * It is closed. `kind`: of what the log says of it. `sender`: by whose number descriptors were counted that the client sent;
   * undefined where it could not.
   */
  ended(record: ServedRecord, why: string, kind: LogKind, sender: number | undefined): void
}

/** What a client has in hand. */
export interface Unfinished {
  /** Calls that are not answered, CONNECT_OPEN included. */
  readonly calls: number
  readonly streams: number
}

/** A session that is to come to its end. */
export interface Drained {
  /**
   * All that the client has sent so far is done and answered, streams go on to their ends, and then the client is closed in
   * order. What it calls later is not answered, but for CONNECT_CLOSE. One that is not in yet is closed now.
   */
  drain(): void
  /** To be called now and then: nobody tells when all that has come is judged. */
  closeIfDrained(): void
  readonly unfinished: Unfinished
  /** All is done but what the client itself has to do: to send the rest of a frame, or to read its answers. */
  readonly waitsForClient: boolean
  /** It does not do that. */
  giveUp(): void
  /** The time is over: calls and streams end with the error, and the client is closed in order. */
  cutOff(error: RemoteError): void
}
