import type { Candidate } from '../driver/driver-sockets.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { ConnectionUse } from '../thread/driver-report.js'

/** Calls of the client whose connection it is. */
interface Calls {
  readonly calls: { readonly size: number }
  /** When the oldest came, of performance.now; 0 if there is none, or where nobody wants to know. */
  readonly oldest: number
}

/** What is told of a connection to a driver daemon that a client has for itself. `shareable`: one that leads there can be shared. */
export function ownUse(
  { candidate, readonly }: { readonly candidate: Candidate; readonly readonly: boolean },
  shareable: boolean,
  { id, identity }: Pick<ClientRecord, 'id' | 'identity'>,
  { calls, oldest }: Calls
): ConnectionUse {
  const why = shareable ? 'off' : 'name'
  const oldestMs = oldest === 0 ? undefined : Math.round(performance.now() - oldest)
  return { kind: 'own', candidate, readonly, identity, why, client: id, clients: 1, calls: calls.size, oldestMs }
}
