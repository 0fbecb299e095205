import { auditClassOf, type Activity } from '../../protocol/audited-calls.js'
import { PROGRAM } from '../../protocol/header.js'
import { procedureName } from '../../protocol/procedures.js'
import { ulid } from '../base/ulid.js'
import { endpointIn } from '../os/address.js'
import type { Audited, AuditedCall, AuditProduct, CallEnd } from '../thread/audit.js'

/**
 * Records of the audit, in the shape of OCSF (schema.ocsf.io): API Activity for calls, Authentication for logins and ends,
 * Application Error for records that were lost. A line each of at most MAX_LINE_BYTES, with its keys always in this order.
 */

export const MAX_LINE_BYTES = 4096
/** Of OCSF. */
const SCHEMA = '1.6.0'
const STATUS_ID = { unknown: 0, success: 1, failure: 2 } as const
const INFORMATIONAL = 1
const LOW = 2
const HIGH = 4
const API_ACTIVITY = 6003
const AUTHENTICATION = 3002
const APPLICATION_ERROR = 6008

/** Characters of a name that peers choose; fewer where all of them together would be too long. */
const MOST_CHARACTERS = 256
const FEWER_CHARACTERS = 40

type Cut = (text: string | undefined) => string | undefined

/** Not in the middle of a character. */
const cutAt = (most: number): Cut => text =>
  (text === undefined || text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…`)
const cut = cutAt(MOST_CHARACTERS)
const cutShort = cutAt(FEWER_CHARACTERS)

/** Legal in JSON as they are, and yet commands to those who print them: controls, line ends, changes of direction. */
const UNESCAPED = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

const json = (record: object): string =>
  JSON.stringify(record).replace(UNESCAPED, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

function line(make: (cut: Cut) => object): string {
  const text = json(make(cut))
  return Buffer.byteLength(text) <= MAX_LINE_BYTES ? text : json(make(cutShort))
}

/** Of whom is told: without an id it never came to a thread. */
export type Subject = Omit<Audited, 'id'> & { readonly id: number | undefined }

const metadata = ({ version, run }: AuditProduct, client: Subject | undefined): object => ({
  version: SCHEMA,
  product: { name: 'virtbroker', vendor_name: 'virtbroker', version },
  uid: ulid(Date.now()),
  correlation_uid: client?.id === undefined ? run : `${run}-${numberOf(client)}`
})

/** Clients of the admin socket have numbers of their own. */
const numberOf = ({ id, listener }: Subject): string => (listener.name === 'admin' ? `admin-${id}` : String(id))

const source = ({ listener, peer }: Pick<Audited, 'listener' | 'peer'>): object =>
  peer === undefined ? { name: listener.transport } : endpointIn(peer)

function user({ identity }: Subject, cut: Cut): object {
  const { saslUserName, userName, x509DistinguishedName, userId } = identity
  return { name: cut(saslUserName ?? userName ?? (x509DistinguishedName || undefined)), uid: userId?.toString() }
}

/** What OCSF has no place for. */
const more = ({ listener, via, identity }: Subject, cut: Cut): object => ({
  listener: listener.name,
  proxy: via,
  sasl_user: cut(identity.saslUserName),
  dn: cut(identity.x509DistinguishedName || undefined),
  certificate_serial: cut(identity.certificateSerial)
})

/** Application Activity; a login is of Identity & Access Management. */
const CATEGORY = { [API_ACTIVITY]: 6, [AUTHENTICATION]: 3, [APPLICATION_ERROR]: 6 } as const

/** What each record begins with. */
const head = (time: number, kind: keyof typeof CATEGORY, activity: number, severity: number, about: object): object => ({
  time,
  class_uid: kind,
  category_uid: CATEGORY[kind],
  activity_id: activity,
  type_uid: 100 * kind + activity,
  severity_id: severity,
  metadata: about
})

const STATUS_OF: Readonly<Record<CallEnd, number>> = {
  ok: STATUS_ID.success, error: STATUS_ID.failure, refused: STATUS_ID.failure, none: STATUS_ID.unknown
}

const PREFIX: ReadonlyMap<number, string> = new Map([[PROGRAM.qemu, 'QEMU_'], [PROGRAM.lxc, 'LXC_']])

/** What was called, as a record tells it. `access`: the permissions that it needs; empty if none is asked for. */
export interface Operation {
  readonly name: string
  readonly activity: Activity
  readonly access: string
}

export function operationOf(prog: number, proc: number): Operation {
  const { activity, access } = auditClassOf(prog, proc)
  return { name: `${PREFIX.get(prog) ?? ''}${procedureName(prog, proc)}`, activity, access }
}

export function callLine(
  product: AuditProduct, client: Audited, { name, activity, access }: Operation, call: Omit<AuditedCall, 'prog' | 'proc'>
): string {
  const { serial, named, end, code, detail, time, micros, driver, readonly, count, request } = call
  const failed = end === 'error' || end === 'refused'
  return line(cut => ({
    ...head(time, API_ACTIVITY, activity, failed ? LOW : INFORMATIONAL, metadata(product, client)),
    actor: { user: user(client, cut), process: client.identity.processId === undefined ? undefined : { pid: client.identity.processId } },
    src_endpoint: source(client),
    api: { operation: name, service: { name: driver } },
    resources: named.map(({ type, name: called, uid }) => ({ type, name: cut(called), uid: cut(uid) })),
    status_id: STATUS_OF[end],
    status_code: end === 'none' ? undefined : String(code),
    status_detail: cut(detail),
    duration: Math.round(micros / 1000),
    count,
    unmapped: {
      ...more(client, cut), access: access === '' ? undefined : access, refused: end === 'refused' || undefined, readonly,
      serial, request: cut(request), duration_us: Math.round(micros)
    }
  }))
}

/** What has become of a login, or of a client that was in. */
export interface SessionEvent {
  readonly activity: 'logon' | 'logoff'
  readonly failed: boolean
  readonly why: string | undefined
  readonly time: number
  /** Of a client that has gone: how long it was there, in milliseconds. */
  readonly duration?: number | undefined
  /** It is told of so many at once. */
  readonly count?: number | undefined
}

const METHOD = { sasl: 'SASL', polkit: 'polkit' } as const

/** How a client has proved who it is. */
function protocol({ listener: { auth, transport }, identity }: Subject): string {
  if (auth !== 'none') return METHOD[auth]
  if (identity.x509DistinguishedName !== undefined) return 'TLS certificate'
  return transport === 'unix' ? 'UNIX socket credentials' : 'none'
}

export function sessionLine(product: AuditProduct, client: Subject, event: SessionEvent): string {
  const { activity, failed, why, time, duration, count } = event
  const { certificateSerial, x509DistinguishedName } = client.identity
  return line(cut => ({
    ...head(time, AUTHENTICATION, activity === 'logon' ? 1 : 2, failed ? LOW : INFORMATIONAL, metadata(product, client)),
    actor: client.identity.processId === undefined ? undefined : { process: { pid: client.identity.processId } },
    user: user(client, cut),
    src_endpoint: source(client),
    auth_protocol_id: 99,
    auth_protocol: protocol(client),
    certificate: certificateSerial && { serial_number: cut(certificateSerial), subject: cut(x509DistinguishedName) },
    is_remote: client.listener.transport !== 'unix',
    status_id: failed ? STATUS_ID.failure : STATUS_ID.success,
    status_detail: cut(why),
    duration,
    count,
    unmapped: { ...more(client, cut), readonly: client.listener.readonly }
  }))
}

/** So many records were lost since then. */
export function lostLine(product: AuditProduct, count: number, since: number): string {
  const time = Date.now()
  return line(() => ({
    ...head(time, APPLICATION_ERROR, 1, HIGH, metadata(product, undefined)),
    message: `${count} records of the audit were lost: they came faster than they could be written`,
    count,
    start_time: since,
    end_time: time,
    status_id: STATUS_ID.failure
  }))
}
