import type { Identity } from '../../protocol/identity.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'
import type { Client } from './clients.js'

/** Clients choose their names; in characters. */
const MAX_NAME = 256

/** What lists tell of a client. */
export interface ClientSummary extends Pick<ClientRecord, 'id' | 'since' | 'listener' | 'peer' | 'state' | 'opened'> {
  readonly pid: number | undefined
  readonly user: string | undefined
  /** Number of the thread that has it, or had it; 0 if none. */
  readonly thread: number
}

export type Summarised = Omit<ClientSummary, 'pid' | 'user'> & Pick<Client, 'identity'>

export const summaryOf = ({ id, since, listener, peer, state, opened, thread, identity }: Summarised): ClientSummary =>
  ({ id, since, listener, peer, state, opened, thread, pid: identity.processId, user: userOf(identity) })

/** The name that it goes by, if it has proved one. */
export function userOf({ saslUserName, x509DistinguishedName, userName }: Identity): string | undefined {
  const name = saslUserName ?? x509DistinguishedName ?? userName
  return name === undefined ? undefined : bounded(name, MAX_NAME)
}

/** A part of a string keeps the whole in memory: this is a string of its own. */
export const bounded = (text: string, most: number): string =>
  text.length <= most ? text : Buffer.from(text.slice(0, most)).toString()
