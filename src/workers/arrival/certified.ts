import type { Identity } from '../../protocol/identity.js'
import { shown } from '../base/peer-names.js'
import type { Verdict } from '../tls/client-check.js'
import type { ArrivingClient } from './arriving-client.js'

/** Whom a certificate makes a client; or why it does not, and whose it is, as the log has been told. */
export type Certified = { readonly identity: Identity } | { readonly refusal: string }

/** Tells the log what is the matter with a client's certificate. */
export function certified(client: Pick<ArrivingClient, 'log'>, { name, serial, refusal, warnings }: Verdict): Certified {
  const who = name === undefined ? '' : ` (${shown(name)})`
  for (const warning of warnings) client.log('tls-client-doubtful', `${warning}${who}`)
  if (refusal === undefined) {
    return { identity: { x509DistinguishedName: name ?? '', ...(serial !== undefined && { certificateSerial: serial }) } }
  }
  client.log('tls-client-refused', `${refusal}${who}`)
  return { refusal: `${refusal}${who}` }
}
