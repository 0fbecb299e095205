import { REMOTE } from '#protocol/procedures.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import type { Load } from '../load/load.js'
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

/** Of all domains. The answering driver takes a second for it. */
export const ALL_DOMAIN_STATS: Call = {
  procedure: REMOTE.connectGetAllDomainStats,
  body: new XdrWriter().u32(0).u32(0).u32(0).finish()
}

/** How often the answering driver has carried that out. */
export async function executions(load: Load): Promise<number> {
  const reply = await load.call({ procedure: REMOTE.connectNumOfDomains, body: new Uint8Array(0) })
  return new XdrReader(Buffer.from(reply)).i32()
}

/** To the answering driver: a reply of 28 bytes, a header alone. */
export const EMPTY_REPLY: Call = { procedure: REMOTE.interfaceChangeBegin, body: new XdrWriter().u32(0).finish() }

const LIFECYCLE = 0
/** Registers for the lives of all domains. */
export const WATCH_DOMAINS: Call = {
  procedure: REMOTE.connectDomainEventCallbackRegisterAny,
  body: new XdrWriter().i32(LIFECYCLE).bool(false).finish()
}
/** Defining a domain, even with what it is already, is a lifecycle event. */
export const CHANGE_DOMAIN: Call = {
  procedure: REMOTE.domainDefineXml,
  body: new XdrWriter()
    .string(
      "<domain type='test'><name>bench</name><uuid>b0a5c7e2-3f41-4d5e-9c0b-7d1c4f0e9a11</uuid>" +
        '<memory>1024</memory><os><type>hvm</type></os></domain>'
    )
    .finish()
}
