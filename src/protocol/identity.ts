/** Who a client is, as a daemon tells the next one with CONNECT_SET_IDENTITY (libvirt's `virIdentity`). */

import { checkParams, type Schema } from './bad-arguments.js'
import { undecodable } from './errors.js'
import {
  llongParam, PARAM, readParams, stringParam, ullongParam, writeParams, type TypedParam
} from './typed-params.js'
import { XdrError, XdrReader, XdrWriter } from './xdr.js'

export interface Identity {
  /** Name of the uid, and of the primary gid, of a UNIX peer. */
  userName?: string
  userId?: number
  groupName?: string
  groupId?: number
  /** -1 when the kernel did not tell. */
  processId?: number
  /** When the process started, in clock ticks since boot (field 22 of /proc/PID/stat): guards against reused pids. */
  processTime?: number
  saslUserName?: string
  /** In the order of the certificate: `C=GB,O=Red Hat,CN=client1`. */
  x509DistinguishedName?: string
  selinuxContext?: string
  /** Of the client's certificate, in hexadecimal. Driver daemons are not told. */
  certificateSerial?: string
}

/** `REMOTE_CONNECT_IDENTITY_PARAMS_MAX` */
const MAX_PARAMS = 20

type FieldType = typeof PARAM.string | typeof PARAM.llong | typeof PARAM.ullong

// In the order in which libvirt's daemons send them.
const FIELDS: readonly (readonly [field: string, key: Exclude<keyof Identity, 'certificateSerial'>, type: FieldType])[] = [
  ['user-name', 'userName', PARAM.string],
  ['unix-user-id', 'userId', PARAM.ullong],
  ['group-name', 'groupName', PARAM.string],
  ['unix-group-id', 'groupId', PARAM.ullong],
  ['process-id', 'processId', PARAM.llong],
  ['process-time', 'processTime', PARAM.ullong],
  ['sasl-user-name', 'saslUserName', PARAM.string],
  ['x509-distinguished-name', 'x509DistinguishedName', PARAM.string],
  ['selinux-context', 'selinuxContext', PARAM.string]
]

// A secret by which daemons of one host know each other. Accepted from a client as libvirt does, but never kept or
// sent: it would lift every restriction on the client's calls.
const SYSTEM_TOKEN = 'system.token'

const SCHEMA: Schema = Object.fromEntries([
  ...FIELDS.map(([field, , type]) => [field, type] as const),
  [SYSTEM_TOKEN, PARAM.string]
])

/** Only what is known; a client without any identity gives an empty list, which is sent all the same. */
export function identityParams(identity: Identity): TypedParam[] {
  const params: TypedParam[] = []
  for (const [field, key, type] of FIELDS) {
    const value = identity[key]
    if (value === undefined) continue
    if (type === PARAM.string) params.push(stringParam(field, String(value)))
    else if (type === PARAM.llong) params.push(llongParam(field, Number(value)))
    else params.push(ullongParam(field, Number(value)))
  }
  return params
}

/** Arguments of CONNECT_SET_IDENTITY. */
export function encodeSetIdentity(identity: Identity): Buffer {
  return writeParams(new XdrWriter(), identityParams(identity)).u32(0).finish()
}

/** A client's own CONNECT_SET_IDENTITY. Throws the RemoteError that it gets for a wrong one. */
export function decodeSetIdentity(body: Buffer): Identity {
  const params = readArguments(body)
  checkParams(params, SCHEMA)
  const given = new Map(params.map(param => [param.field, param.value]))
  const identity: Record<string, string | number> = {}
  for (const [field, key] of FIELDS) {
    const value = given.get(field)
    if (value !== undefined) identity[key] = typeof value === 'bigint' ? Number(value) : value
  }
  return identity
}

function readArguments(body: Buffer): TypedParam[] {
  try {
    const xdr = new XdrReader(body)
    const params = readParams(xdr, MAX_PARAMS)
    xdr.u32() // flags: libvirt looks at none of them
    return params
  } catch (error) {
    if (error instanceof XdrError) throw undecodable()
    throw error
  }
}
