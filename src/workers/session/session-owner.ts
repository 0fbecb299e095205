import type { AuthServices } from '../auth/authentication.js'
import type { Drivers } from '../driver/drivers.js'
import type { Policy } from '../policy/policy.js'
import type { ClientRecord } from '../thread/client-record.js'

/** Who says whether a client may come in and what it may do, and what it then gets at. */
export interface SessionAccess extends Pick<AuthServices, 'polkit' | 'sasl'> {
  readonly policy: Pick<Policy, 'verdictsFor'>
  readonly drivers: Drivers
}

/** Who keeps a session. */
export interface SessionOwner {
  /** Something has changed in the record. */
  changed(record: ClientRecord): void
  /** It is closed. `sender`: by whose number descriptors were counted that the client sent; undefined where it could not. */
  ended(record: ClientRecord, why: string, sender: number | undefined): void
}
