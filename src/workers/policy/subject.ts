import type { Identity } from '../../protocol/identity.js'
import { shown } from '../base/peer-names.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { Subject } from './rules.js'

/** What rules can ask of a client. */
export function subjectOf({ listener: { transport, readonly }, peer, identity }: ClientRecord): Subject {
  return {
    listener: transport === 'unix' && readonly ? 'unix-ro' : transport,
    address: peer === undefined ? undefined : hostOf(peer),
    saslUser: identity.saslUserName,
    name: identity.x509DistinguishedName,
    uid: identity.userId
  }
}

/** Of `address:port`; an IPv6 address stands in brackets there. */
function hostOf(peer: string): string {
  const end = peer.lastIndexOf(':')
  return peer.startsWith('[') ? peer.slice(1, end - 1) : peer.slice(0, end)
}

/** For the log: what a client has proved of itself. */
export function describeIdentity({ saslUserName, x509DistinguishedName, userName, userId }: Identity): string {
  const facts = [
    saslUserName !== undefined && `SASL user '${shown(saslUserName)}'`,
    x509DistinguishedName !== undefined && x509DistinguishedName !== '' && `certificate '${shown(x509DistinguishedName)}'`,
    userId !== undefined && `user '${shown(userName ?? '')}' (${userId})`
  ].filter(fact => fact !== false)
  return facts.length === 0 ? 'a client without identity' : facts.join(', ')
}
