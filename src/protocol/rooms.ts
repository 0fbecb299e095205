import { internalError, rpcError } from './errors.js'
import type { XdrReader } from './xdr.js'

/** Most items of a list in a reply (`REMOTE_DOMAIN_LIST_MAX` and its likes). */
export const MAX_LIST = 16384

/**
 * How many items a caller has room for. More than `limit` of them, or fewer than none, is refused in the words of
 * libvirt's dispatcher: `name` is the argument's and `constant` the limit's.
 */
export function readRoom(args: XdrReader, name: string, constant: string, limit = MAX_LIST): number {
  const room = args.i32()
  if (room < 0) throw rpcError(`${name} must be non-negative`)
  if (room > limit) throw rpcError(`${name} > ${constant}`)
  return room
}

/** As `readRoom`, for typed parameters and the like. */
export function readParamRoom(args: XdrReader, limit: number, name = 'nparams'): number {
  const room = args.i32()
  if (room < 0) throw internalError(`${name} must be non-negative`)
  if (room > limit) throw internalError(`${name} too large`)
  return room
}
