import { openedListeners, type Listening } from '../config/check.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import { SaslService, SaslUnavailable, type Tell } from './sasl-service.js'

/** Undefined if no listener needs it: the library is not loaded then. Throws StartupError if it is not to be had. */
export async function saslFor(listening: Listening, tell: Tell): Promise<SaslService | undefined> {
  const [key] = openedListeners(listening).find(([, method]) => method === 'sasl') ?? []
  if (key === undefined) return undefined
  try {
    return await SaslService.start(listening, tell)
  } catch (error) {
    if (!(error instanceof SaslUnavailable)) throw error
    throw new StartupError(`${key} = "sasl" needs libsasl2: ${error.message}`, EXIT.network)
  }
}
