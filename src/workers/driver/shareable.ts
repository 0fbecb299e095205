import { encodeSetIdentity, type Identity } from '../../protocol/identity.js'
import type { DriverSharing } from '../thread/settings.js'
import type { Candidate, Way } from './driver-sockets.js'

/** Drivers whose state lives in the daemon. Others keep it in the connection, and each client is to have its own. */
const NAMES = /^((qemu|lxc|xen|ch|bhyve|network|storage|nodedev|secret|nwfilter|interface):\/\/\/(system|session)|test:\/\/\/default)$/

/** Whether connections that lead there can be shared. */
export const isShareable = ({ candidates }: Pick<Way, 'candidates'>): boolean =>
  candidates.length > 0 && candidates.every(({ name, uri }) => uri !== undefined && NAMES.test(name))

/** The identity that is told to the daemon where one user's processes share. */
export function sharedIdentity(identity: Identity, sharing: DriverSharing): Identity {
  if (sharing !== 'user') return identity
  const user = { ...identity }
  delete user.processId
  delete user.processTime
  return user
}

/** What connections that are shared have in common, at each place that the way may lead to. */
export function keyOf({ path, name }: Candidate, readonly: boolean, identity: Identity): string {
  return `${path}\0${name}\0${readonly ? 'ro' : 'rw'}\0${encodeSetIdentity(identity).toString('latin1')}`
}
