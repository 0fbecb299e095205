import type { Identity } from '../../protocol/identity.js'
import { shown } from '../base/peer-names.js'
import { endpointIn } from '../os/address.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { Subject } from './rules.js'

/** What rules can ask of a client. */
export function subjectOf({ listener: { transport, readonly }, peer, identity }: ClientRecord): Subject {
  return {
    listener: transport === 'unix' && readonly ? 'unix-ro' : transport,
    address: peer === undefined ? undefined : endpointIn(peer).ip,
    saslUser: identity.saslUserName,
    name: identity.x509DistinguishedName,
    uid: identity.userId
  }
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
