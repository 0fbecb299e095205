import type { Identity } from '../../protocol/identity.js'
import type { Admission } from '../settings.js'
import type { Subject } from './rules.js'

/** What rules can ask of a client. */
export function subjectOf({ transport, readonly, peer }: Admission, identity: Identity): Subject {
  return {
    listener: transport === 'unix' && readonly ? 'unix-ro' : transport,
    address: peer?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'),
    saslUser: identity.saslUserName,
    name: identity.x509DistinguishedName,
    uid: identity.userId
  }
}

/** For the log: what a client has proved of itself, without characters that do not belong into a line. */
export function describeIdentity({ saslUserName, x509DistinguishedName, userName, userId }: Identity): string {
  const facts = [
    saslUserName !== undefined && `SASL user '${saslUserName}'`,
    x509DistinguishedName !== undefined && x509DistinguishedName !== '' && `certificate '${x509DistinguishedName}'`,
    userId !== undefined && `user '${userName ?? ''}' (${userId})`
  ].filter(fact => fact !== false)
  return facts.length === 0 ? 'a client without identity' : facts.join(', ').replace(/\p{C}/gu, '?')
}
