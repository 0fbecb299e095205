import type { LeastStrength } from '../../../workers/tls/strength.js'
import { EXIT, StartupError } from '../startup-error.js'
import { interpret, PriorityError } from './interpret.js'
import { leftOut, negotiation, type Negotiation } from './openssl.js'
import { leastStrength } from './profiles.js'
import { settle } from './settle.js'
import { NO_POLICY, resolve, restrict, type SystemPolicy } from './system-policy.js'

/** What a `tls_priority` comes to. */
export interface TlsPriority {
  negotiation: Negotiation
  /** How strong the certificates of clients must be. */
  least: LeastStrength
  /** Whether the revocation list counts. */
  revocation: boolean
  /** What was asked for by name and cannot be had. */
  leftOut: readonly string[]
}

/**
 * Reads a GnuTLS priority string and says what it means for OpenSSL, which does not know the language. Throws a StartupError
 * that names what cannot be had: guessing would weaken what somebody wanted strong.
 */
export function tlsPriority(text = 'NORMAL', policy: SystemPolicy = NO_POLICY): TlsPriority {
  try {
    const resolved = resolve(text, policy)
    const chosen = interpret(resolved.text, resolved.fromHost)
    restrict(chosen, policy)
    settle(chosen)
    return {
      negotiation: negotiation(chosen),
      least: leastStrength(chosen.profile, chosen.options),
      revocation: !chosen.options.has('VERIFY_DISABLE_CRL_CHECKS'),
      leftOut: leftOut(chosen)
    }
  } catch (error) {
    if (!(error instanceof PriorityError)) throw error
    throw new StartupError(`Failed to set TLS session priority to ${text}: ${error.message}`, EXIT.network)
  }
}
