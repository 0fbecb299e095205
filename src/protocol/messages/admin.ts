/** Bodies of the admin program. Readers throw XdrError. */

import type { XdrReader, XdrWriter } from '../xdr.js'

/** `ADMIN_CLIENT_LIST_MAX` and `ADMIN_SERVER_LIST_MAX`, `ADMIN_SERVER_THREADPOOL_PARAMETERS_MAX` and its like. */
export const MAX_ADMIN_LIST = 16_384
export const MAX_ADMIN_PARAMS = 32

/** `VIR_CLIENT_TRANS_…` */
export const ADMIN_TRANSPORT = { unix: 0, tcp: 1, tls: 2 } as const

/** `admin_nonnull_client`; of one that is an argument a server looks at the name and the id only. */
export interface AdminClientName {
  server: string
  id: bigint
}

export function readAdminClient(xdr: XdrReader): AdminClientName {
  const name = { server: xdr.string(), id: xdr.u64() }
  xdr.i64()
  xdr.u32()
  return name
}

/** `since`: seconds since the epoch. */
export function writeAdminClient(xdr: XdrWriter, server: string, id: number, since: number, transport: number): void {
  xdr.string(server).u64(BigInt(id)).i64(BigInt(since)).u32(transport)
}
