import { Timer, type Timed } from '../../workers/base/clock.js'
import type { Identity } from '../../protocol/identity.js'
import type { PeerCredentials } from '../../workers/os/accounts.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import type { Connection } from '../../workers/serving/server-session.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'

/** A client of the admin socket. */
export class AdminClient implements ClientRecord, Timed {
  readonly since = Date.now()
  readonly peer = undefined
  readonly via = undefined
  readonly state = 'serving'
  readonly opened = undefined
  readonly identity: Identity
  /** Until its first call. */
  readonly deadline = new Timer(this)

  /** `context`: its SELinux context, if there is one. */
  constructor(
    readonly id: number,
    readonly listener: ListenerKind,
    { uid, gid, pid }: PeerCredentials,
    context: string | undefined,
    readonly connection: Connection
  ) {
    this.identity = { userId: uid, groupId: gid, processId: pid, ...(context !== undefined && { selinuxContext: context }) }
  }

  timeUp(): void {
    this.connection.close()
  }
}
