import { systemError, type RemoteError } from '../../protocol/errors.js'
import type { Identity } from '../../protocol/identity.js'
import { accountName, peerCredentials, peerSecurityContext, processStartTime } from '../os/accounts.js'

export interface Identified {
  identity: Identity
  /** The identity cannot be established: what each of the client's calls is answered with. */
  failure?: RemoteError
}

const EINVAL = 22

/** Who a UNIX client is. uid and gid must have names, because that is what driver daemons check and log. */
export async function identifyUnixPeer(fd: number): Promise<Identified> {
  const peer = peerCredentials(fd)
  if (peer === undefined) return fail(`Failed to get client socket identity`)
  const context = peerSecurityContext(fd)
  const processTime = processStartTime(peer.pid)
  const [userName, groupName] = await Promise.all([accountName('user', peer.uid), accountName('group', peer.gid)])
  if (userName === undefined) return fail(`Failed to find user record for uid '${peer.uid}'`)
  if (groupName === undefined) return fail(`Failed to find group record for gid '${peer.gid}'`)
  return {
    identity: {
      userName,
      userId: peer.uid,
      groupName,
      groupId: peer.gid,
      processId: peer.pid === 0 ? -1 : peer.pid,
      ...(processTime !== undefined && { processTime }),
      ...(context !== undefined && { selinuxContext: context })
    }
  }
}

function fail(message: string): Identified {
  return { identity: {}, failure: systemError(EINVAL, message) }
}
