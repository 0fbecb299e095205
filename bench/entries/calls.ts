import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import type { Call } from '../load/orders.js'

/** The smallest call with a reply of substance; no driver has to work for it. */
export const GET_LIB_VERSION: Call = { procedure: REMOTE.connectGetLibVersion, body: new Uint8Array(0) }

/** To the answering driver: a reply of 32 + 256 × `names` bytes. */
export const nodeListDevices = (names: number): Call => ({
  procedure: REMOTE.nodeListDevices,
  body: new XdrWriter().bool(false).i32(names).u32(0).finish()
})

/** The answering driver has no reply to it, ever. */
export const NEVER_ANSWERED = REMOTE.domainGetTime

/** To the answering driver: a reply of 28 bytes, a header alone. */
export const EMPTY_REPLY: Call = { procedure: REMOTE.interfaceChangeBegin, body: new XdrWriter().u32(0).finish() }
