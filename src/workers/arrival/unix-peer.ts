import { systemError, type RemoteError } from '../../protocol/errors.js'
import type { Identity } from '../../protocol/identity.js'
import { failureText } from '../base/log.js'
import type { AccountNames } from '../names/account-names.js'
import { peerCredentials, peerSecurityContext, processStartTime, type PeerCredentials } from '../os/accounts.js'
import { NOBODY } from '../os/foreign-close.js'
import type { ArrivalStep, ArrivingClient } from './arriving-client.js'

interface Identified {
  /** By whose number what he sends is counted. */
  sender: number
  identity: Identity
  /** The identity cannot be established: what each of the client's calls is answered with. */
  failure?: RemoteError
}

const EINVAL = 22

/** Finds out who the client of a UNIX socket is. */
export const identifying =
  (names: AccountNames) =>
    (client: ArrivingClient): ArrivalStep => ({
      start() {
        const identified = identifyUnixPeer(client.fd, names)
        if (!(identified instanceof Promise)) return client.passed(identified)
        identified.then(found => client.passed(found)).catch((error: unknown) => client.close(failureText(error), 'internal-failure'))
      },
      // A lookup goes on for the sake of the next who has that user's or group's id.
      stop: () => undefined
    })

/**
 * Who a UNIX client is. uid and gid must have names, because that is what driver daemons check and log; it is a promise
 * if they are not known yet. What the process is like is looked at at once, while it is there.
 */
function identifyUnixPeer(fd: number, names: AccountNames): Identified | Promise<Identified> {
  const peer = peerCredentials(fd)
  if (peer === undefined) return fail(`Failed to get client socket identity`)
  const context = peerSecurityContext(fd)
  const processTime = processStartTime(peer.pid)
  const process: Identity = {
    processId: peer.pid === 0 ? -1 : peer.pid,
    ...(processTime !== undefined && { processTime }),
    ...(context !== undefined && { selinuxContext: context })
  }
  const [user, group] = [names.find('user', peer.uid), names.find('group', peer.gid)]
  if (user !== undefined && group !== undefined) return identified(peer, user.name, group.name, process)
  return askFor(peer, process, names)
}

/** One after the other, so that no client has more than one question open. */
async function askFor(peer: PeerCredentials, process: Identity, names: AccountNames): Promise<Identified> {
  const user = await names.get('user', peer.uid)
  const group = user === undefined ? undefined : await names.get('group', peer.gid)
  return identified(peer, user, group, process)
}

function identified(
  { uid, gid }: PeerCredentials,
  userName: string | undefined,
  groupName: string | undefined,
  process: Identity
): Identified {
  if (userName === undefined) return fail(`Failed to find user record for uid '${uid}'`, uid)
  if (groupName === undefined) return fail(`Failed to find group record for gid '${gid}'`, uid)
  return { sender: uid, identity: { userName, userId: uid, groupName, groupId: gid, ...process } }
}

function fail(message: string, sender = NOBODY): Identified {
  return { sender, identity: {}, failure: systemError(EINVAL, message) }
}
