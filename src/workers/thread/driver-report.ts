import type { Identity } from '../../protocol/identity.js'
import { shown } from '../base/peer-names.js'
import type { Promotion } from './metric-families.js'

/** Whose calls it has: of all who share it; of those the ones that wait for no hypervisor; their registrations; one client's. */
export type ConnectionKind = 'shared' | 'priority' | 'events' | 'own'

/** Why a client has a connection for itself: none is shared; or none that leads there; or by what one of its calls binds. */
export type OwnReason = 'off' | 'name' | Promotion

/** What whoever uses a connection to a driver daemon knows of it. */
export interface ConnectionUse {
  readonly kind: ConnectionKind
  /** Where it leads, and what is open there. */
  readonly candidate: { readonly path: string; readonly name: string }
  readonly readonly: boolean
  /** Of whom the daemon was told. */
  readonly identity: Identity
  /** Of an own one. */
  readonly why?: OwnReason
  readonly client?: number
  /** How many share its key; 1 of an own one. */
  readonly clients: number
  /** That are out, and for how many milliseconds the oldest has been; undefined as well where nobody wants to know. */
  readonly calls: number
  readonly oldestMs: number | undefined
}

/** A connection to a driver daemon, as an operator sees it. */
export interface ConnectionReport extends Omit<ConnectionUse, 'candidate' | 'identity'> {
  /** In its thread: from 1, in the order in which they were made. */
  readonly connection: number
  readonly socket: string
  readonly name: string
  /** In short; undefined of somebody who has proved nothing. */
  readonly identity: string | undefined
  /** How many ordinary calls it takes at a time. */
  readonly maxCalls: number
}

/** Some of them, in the order of their numbers. */
export interface ConnectionPage {
  readonly connections: readonly ConnectionReport[]
  /** There are others after them. */
  readonly more: boolean
}

/** A line can hold what is in it: clients choose their names, and what they open. */
export function connectionReport(
  connection: number, maxCalls: number, { candidate: { path, name }, identity, ...use }: ConnectionUse
): ConnectionReport {
  return { connection, socket: path, name: shown(name), identity: identityText(identity), maxCalls, ...use }
}

/** The name that counts for authorization, and of a local client its process. */
function identityText({ saslUserName, x509DistinguishedName, userName, userId, processId }: Identity): string | undefined {
  const name = saslUserName ?? x509DistinguishedName ?? userName ?? (userId === undefined ? undefined : `uid ${userId}`)
  if (name === undefined) return undefined
  return processId === undefined || processId < 0 ? shown(name) : `${shown(name)}, pid ${processId}`
}
