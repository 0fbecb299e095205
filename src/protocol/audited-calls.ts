import { PROGRAM } from './header.js'
import type { ObjectKind } from './procedure-row.js'
import { proceduresOf, type Procedure } from './procedures.js'

/** What a call does, as OCSF's class API Activity numbers it. */
export const ACTIVITY = { create: 1, read: 2, update: 3, delete: 4, other: 99 } as const
export type Activity = (typeof ACTIVITY)[keyof typeof ACTIVITY]

/**
 * When a call is recorded.
 *
 * - `always`
 * - `secure`: where its flags ask for what is kept from others, passwords for instance; else as `reads`.
 * - `reads`: only where reads are.
 * - `session`: never by itself: logins and ends are told otherwise.
 */
export type Recorded = 'always' | 'secure' | 'reads' | 'session'

export interface AuditClass {
  readonly activity: Activity
  readonly recorded: Recorded
  /** It changes something, or lets the client do so. */
  readonly changes: boolean
  /** What arguments and reply begin with, if that is an object. */
  readonly asked: ObjectKind | undefined
  readonly answered: ObjectKind | undefined
  /** The permissions that libvirt asks for, without their conditions, as they are told. */
  readonly access: string
}

/** Permissions of calls that only look. */
const LOOKING = /^\w+:(getattr|read|search_\w+)$/
/** Permissions of calls that only look and yet tell what is nobody's business: contents of memory, of disks, of secrets. */
const PRYING = /^\w+:(read_secure|block_read|mem_read|data_read|screenshot)$/
/** Calls that only tell something, whatever permission they need. */
const GETTER = /(^|_)GET(_|$)|^CONNECT_(FIND|COMPARE|BASELINE)_|_(FROM|TO)_NATIVE$|_INTERFACE_ADDRESSES$/
/** Getters that show guests' passwords, or who may log in to them. */
const PRYING_GETTER = /^DOMAIN_(SAVE_IMAGE_GET_XML_DESC|AUTHORIZED_SSH_KEYS_GET)$/
const CREATES = /_(CREATE|DEFINE)_XML(_|$)/
const DELETES = /_(UNDEFINE|DELETE)(_|$)|_SAVE_REMOVE$/
/** Descriptions of images of stopped guests: the guests are there already. */
const IMAGE = /_SAVE(_IMAGE)?_DEFINE_XML$/
/** Answered by the broker: logins, and what a client says of its connection. */
const SESSION = /^(AUTH_\w+|CONNECT_(CLOSE|SUPPORTS_FEATURE|GET_URI|SET_IDENTITY))$/

const permissionOf = (entry: string): string => entry.split(':').slice(0, 2).join(':')

/** Of a procedure by its name, its permissions and what libvirt keeps from read-only connections. */
export function classify({ program, name, acl, readonly, object }: Procedure): AuditClass {
  const permissions = [...new Set(acl.map(permissionOf))]
  const [asked = '', answered = ''] = object.split('>')
  const about = {
    asked: (asked || undefined) as ObjectKind | undefined,
    answered: (answered || undefined) as ObjectKind | undefined,
    access: permissions.join(' ')
  }
  const read = (recorded: Recorded): AuditClass => ({ ...about, activity: ACTIVITY.read, recorded, changes: false })
  const change = (activity: Activity): AuditClass => ({ ...about, activity, recorded: 'always', changes: true })
  if (program === PROGRAM.remote && name === 'CONNECT_OPEN') {
    return { ...about, activity: ACTIVITY.other, recorded: 'always', changes: false }
  }
  if (program === PROGRAM.remote && SESSION.test(name)) return { ...read('session'), activity: ACTIVITY.other }
  if (acl.some(entry => PRYING.test(entry)) || PRYING_GETTER.test(name)) return read('always')
  if (permissions.some(permission => PRYING.test(permission))) return read('secure')
  if (GETTER.test(name)) return read('reads')
  if (readonly !== 'deny' && permissions.every(permission => LOOKING.test(permission))) return read('reads')
  if (DELETES.test(name)) return change(ACTIVITY.delete)
  return change(CREATES.test(name) && !IMAGE.test(name) ? ACTIVITY.create : ACTIVITY.update)
}

/** What is newer than the table: nobody here knows what it does. */
const UNKNOWN: AuditClass = {
  activity: ACTIVITY.other, recorded: 'always', changes: true, asked: undefined, answered: undefined, access: ''
}

const classesOf = (program: number): readonly AuditClass[] => [UNKNOWN, ...proceduresOf(program).map(classify)]

const CLASSES: ReadonlyMap<number, readonly AuditClass[]> = new Map(
  [PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc].map(program => [program, classesOf(program)])
)

export const auditClassOf = (prog: number, proc: number): AuditClass => CLASSES.get(prog)?.[proc] ?? UNKNOWN
