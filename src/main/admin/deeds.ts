import type { Named, NamedObject } from '../../protocol/call-object.js'
import { PROGRAM } from '../../protocol/header.js'
import { MAX_ADMIN_PARAMS, readAdminClient } from '../../protocol/messages/admin.js'
import { BROKER, BROKER_PROGRAM, readJson } from '../../protocol/messages/broker-admin.js'
import { ADMIN, procedureName } from '../../protocol/procedures.js'
import { readParams } from '../../protocol/typed-params.js'
import { XdrError, type XdrReader } from '../../protocol/xdr.js'

/** What a call changes: as its arguments have it, whether that can be done or not. */
export interface Deed {
  readonly named: Named
  /** The values that are asked for. */
  readonly request: string | undefined
}

/** Undefined: with these arguments it changes nothing. Throws XdrError. */
type Reading = (args: XdrReader) => Deed | undefined

const about = (named: Named, request?: string): Deed => ({ named, request })
const object = (type: 'client' | 'server', name?: string, uid?: string): NamedObject => ({ type, name, uid })
const server = (xdr: XdrReader): NamedObject => object('server', xdr.string())

const withParams: Reading = xdr => {
  const named = [server(xdr)]
  return about(named, readParams(xdr, MAX_ADMIN_PARAMS).map(({ field, value }) => `${field}=${value}`).join(' '))
}
const withText: Reading = xdr => about([], xdr.optional(text => text.string()) ?? '')
const nothing: Reading = () => about([])

/** If it has any of these fields. */
const withFields = (...fields: readonly string[]): Reading => xdr => {
  const given = Object(readJson(xdr)) as Readonly<Record<string, unknown>>
  const wanted = fields.filter(field => given[field] !== undefined)
  if (wanted.length === 0) return undefined
  const request = wanted.map(field => `${field}=${JSON.stringify(given[field])}`).join(' ')
  return about([object('server', given.of === 'admin' ? 'admin' : 'broker')], request)
}

const DEEDS: ReadonlyMap<number, Readonly<Record<number, Reading>>> = new Map<number, Readonly<Record<number, Reading>>>([
  [PROGRAM.admin, {
    [ADMIN.serverSetThreadpoolParameters]: withParams,
    [ADMIN.serverSetClientLimits]: withParams,
    [ADMIN.serverUpdateTlsFiles]: xdr => about([server(xdr)]),
    [ADMIN.clientClose]: xdr => {
      const { server: name, id } = readAdminClient(xdr)
      return about([object('client', undefined, String(id)), object('server', name)])
    },
    [ADMIN.connectSetLoggingOutputs]: withText,
    [ADMIN.connectSetLoggingFilters]: withText,
    [ADMIN.connectSetDaemonTimeout]: xdr => about([], `timeout=${xdr.u32()}`),
    [ADMIN.connectDaemonShutdown]: nothing
  }],
  [BROKER_PROGRAM, {
    [BROKER.disconnect]: xdr => about([object('client', undefined, JSON.stringify((Object(readJson(xdr)) as { id?: unknown }).id))]),
    [BROKER.drain]: nothing,
    [BROKER.resume]: nothing,
    [BROKER.reload]: nothing,
    [BROKER.limits]: withFields('maxClients', 'maxAnonymousClients'),
    [BROKER.log]: withFields('level', 'filters', 'outputs')
  }]
])

const BROKER_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(BROKER).map(([name, number]) => [number, name]))

/** A call at the admin socket that may change something. */
export interface DeedKind {
  readonly operation: string
  /** Undefined: with these arguments it changes nothing. */
  readonly read: (args: XdrReader) => Deed | undefined
}

export function deedKind(prog: number, proc: number): DeedKind | undefined {
  const reading = DEEDS.get(prog)?.[proc]
  if (reading === undefined) return undefined
  const operation = prog === BROKER_PROGRAM ? `BROKER_${BROKER_NAMES.get(proc)!.toUpperCase()}` : `ADMIN_${procedureName(prog, proc)}`
  return { operation, read: args => decoded(reading, args) }
}

/** What does not decode is refused, which is told too. */
function decoded(reading: Reading, args: XdrReader): Deed | undefined {
  try {
    return reading(args)
  } catch (error) {
    if (error instanceof XdrError) return about([])
    throw error
  }
}
