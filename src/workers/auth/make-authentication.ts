import type { Actor } from '../actor.js'
import type { Applicant, Authentication } from './authentication.js'
import { noAuthentication } from './none.js'
import { PolkitAuthentication } from './polkit.js'

/** The method of the listener that the client came by. */
export function makeAuthentication(applicant: Applicant, actor: Actor): Authentication {
  switch (applicant.admission.auth) {
    case 'polkit':
      return new PolkitAuthentication(applicant, actor.polkit)
    default:
      return noAuthentication
  }
}
