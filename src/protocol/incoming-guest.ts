import type { Named } from './call-object.js'
import { PROGRAM } from './header.js'
import { REMOTE } from './procedures.js'
import { readParams } from './typed-params.js'
import { childrenOf } from './xml-head.js'
import { XdrError, XdrReader } from './xdr.js'

/** `REMOTE_MIGRATE_COOKIE_MAX`, `REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX` */
const MOST_COOKIE_BYTES = 4_194_304
const MOST_PARAMS = 64
/** Name and UUID stand at the head of a description. */
const MOST_XML_BYTES = 4096

/** The name that the guest is to have, if it is to be another, and its description. */
interface Incoming {
  readonly name: string | undefined
  readonly xml: string | undefined
}
type Reading = (xdr: XdrReader) => Incoming

const text = (xdr: XdrReader): string => xdr.stringHead(MOST_XML_BYTES)
const cookie = (xdr: XdrReader): unknown => xdr.opaque(MOST_COOKIE_BYTES)
const uri = (xdr: XdrReader): unknown => xdr.optional(text)

/** Flags, the name, a bandwidth, and in most the description, as in `remote_protocol.x`. */
function rest(xdr: XdrReader): Incoming {
  xdr.u64()
  const name = xdr.optional(text)
  xdr.u64()
  return { name, xml: xdr.left > 0 ? text(xdr) : undefined }
}

/** `VIR_MIGRATE_PARAM_DEST_NAME`, `VIR_MIGRATE_PARAM_DEST_XML` */
function params(xdr: XdrReader): Incoming {
  const values = new Map(readParams(xdr, MOST_PARAMS).map(({ field, value }) => [field, value]))
  const textOf = (field: string): string | undefined => values.has(field) ? String(values.get(field)) : undefined
  return { name: textOf('destination_name'), xml: textOf('destination_xml')?.slice(0, MOST_XML_BYTES) }
}

const READINGS: Readonly<Record<number, Reading>> = {
  [REMOTE.domainMigratePrepare]: xdr => (uri(xdr), rest(xdr)),
  [REMOTE.domainMigratePrepare2]: xdr => (uri(xdr), rest(xdr)),
  [REMOTE.domainMigratePrepareTunnel]: rest,
  [REMOTE.domainMigratePrepare3]: xdr => (cookie(xdr), uri(xdr), rest(xdr)),
  [REMOTE.domainMigratePrepareTunnel3]: xdr => (cookie(xdr), rest(xdr)),
  [REMOTE.domainMigratePrepare3Params]: params,
  [REMOTE.domainMigratePrepareTunnel3Params]: params
}

/** The guest that a call prepares a migration of: it is not there yet. Nothing for other calls, or what does not decode. */
export function incomingGuest(prog: number, proc: number, args: Buffer): Named {
  const read = prog === PROGRAM.remote ? READINGS[proc] : undefined
  if (read === undefined) return []
  try {
    const { name, xml } = read(new XdrReader(args))
    const described = childrenOf('domain', xml)
    const guest = { type: 'domain', name: name ?? described.get('name'), uid: described.get('uuid') } as const
    return guest.name === undefined && guest.uid === undefined ? [] : [guest]
  } catch (error) {
    if (error instanceof XdrError) return []
    throw error
  }
}
