import { PROGRAM } from '../config/paths.js'
import { encodeJournalFields, PRIORITY } from '../log/journal.js'
import { harmless } from '../log/record.js'

/** LOG_AUTHPRIV: what only administrators are to read. */
const FACILITY = 10

/** Random UUIDs, by OCSF's class. They never change. */
export const AUDIT_MESSAGE_IDS: Readonly<Record<number, string>> = {
  6003: 'd73ab1ef90f1470f9d51c7c20f448fef',
  3002: '14306c529b5840b48862811359c1aad6',
  6008: 'ff0f4dddc95b4b6f9c29fa61316c58d8'
}

interface Shape {
  readonly class_uid: number
  readonly activity_id: number
  readonly status_id: number
  readonly metadata: { readonly correlation_uid: string }
  readonly actor?: { readonly user?: User; readonly process?: { readonly pid: number } }
  readonly user?: User
  readonly src_endpoint?: { readonly ip?: string; readonly port?: number; readonly name?: string }
  readonly api?: { readonly operation: string; readonly service: { readonly name: string } }
  readonly resources?: readonly { readonly type: string; readonly name?: string; readonly uid?: string }[]
  readonly status_code?: string
  readonly status_detail?: string
  readonly message?: string
}

interface User {
  readonly name?: string
  readonly uid?: string
}

const RESULTS = ['without a result', 'done', 'failed']

/** A record for the journal: the line itself, and fields to search by. */
export function auditEntry(line: string): Buffer {
  const record = JSON.parse(line) as Shape
  const { class_uid: kind, metadata, actor, src_endpoint: source, api, resources = [], status_id: status } = record
  const user = record.user ?? actor?.user
  const [object] = resources
  const fields: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['MESSAGE', harmless(sentence(record))],
    ['MESSAGE_ID', AUDIT_MESSAGE_IDS[kind]],
    ['PRIORITY', status === 2 ? PRIORITY.warning : PRIORITY.info],
    ['SYSLOG_FACILITY', FACILITY],
    ['SYSLOG_IDENTIFIER', PROGRAM],
    ['VIRTBROKER_AUDIT', line],
    ['VIRTBROKER_CLIENT', metadata.correlation_uid],
    ['VIRTBROKER_USER', user?.name],
    ['VIRTBROKER_UID', user?.uid],
    ['VIRTBROKER_PID', actor?.process?.pid],
    ['VIRTBROKER_ADDRESS', source?.ip],
    ['VIRTBROKER_OPERATION', api?.operation],
    ['VIRTBROKER_DRIVER', api?.service.name],
    ['VIRTBROKER_OBJECT', object?.name],
    ['VIRTBROKER_OBJECT_UID', object?.uid],
    ['VIRTBROKER_STATUS', record.status_code]
  ]
  return encodeJournalFields(fields.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])))
}

/** A name is what the client says: it does not stand alone where more is known. */
const called = ({ name, uid }: { readonly name?: string; readonly uid?: string }): string =>
  (name === undefined || uid === undefined ? name ?? uid ?? '' : `${name} (${uid})`)

function sentence(record: Shape): string {
  const { actor, api, activity_id: activity, message, resources, src_endpoint: source, status_id: status, status_detail: detail } = record
  if (message !== undefined) return message
  const user = record.user ?? actor?.user
  const who = user?.name ?? (user?.uid === undefined ? 'somebody' : `uid ${user.uid}`)
  const what = api?.operation ?? (activity === 1 ? 'login' : 'end')
  const object = resources?.[0]
  const on = object === undefined ? '' : ` of ${object.type} ${called(object)}`
  return `${what}${on} by ${who} at ${source?.ip ?? source?.name ?? '?'}: ${RESULTS[status]}${detail === undefined ? '' : `, ${detail}`}`
}
