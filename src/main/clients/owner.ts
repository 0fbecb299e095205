import { peerCredentials } from '../../workers/os/accounts.js'
import { networkOf } from '../../workers/os/address.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'

/** Root, who is not locked out of the UNIX sockets by anybody else. */
export const ROOT = 'user 0'

/**
 * Whose a connection is, where places have to be shared: a user's, or an address's. Whoever has one IPv6 address mostly
 * has the whole network of 64 bits.
 */
export function ownerOf(kind: ListenerKind, fd: number, peer: string | undefined): string {
  if (kind.transport === 'unix') return `user ${peerCredentials(fd)?.uid ?? 'unknown'}`
  return `address ${peer === undefined ? 'unknown' : networkOf(peer)}`
}
