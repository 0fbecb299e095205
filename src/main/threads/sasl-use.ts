import { openedListeners } from '../config/check.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import type { Config } from '../config/load.js'
import { SaslService, SaslUnavailable, type Tell } from './sasl-service.js'

/** Undefined if no listener needs it: the library is not loaded then. Throws StartupError if it is not to be had. */
export async function saslFor(config: Config, tell: Tell): Promise<SaslService | undefined> {
  const [key] = openedListeners(config).find(([, method]) => method === 'sasl') ?? []
  if (key === undefined) return undefined
  try {
    return await SaslService.start(config, tell)
  } catch (error) {
    if (!(error instanceof SaslUnavailable)) throw error
    throw new StartupError(`${key} = "sasl" needs libsasl2: ${error.message}`, EXIT.network)
  }
}
