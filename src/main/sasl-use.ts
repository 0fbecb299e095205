import { setTimeout as sleep } from 'node:timers/promises'
import type { SaslParameters } from '../workers/sasl/libsasl.js'
import { SaslDesk } from '../workers/sasl/sasl-desk.js'
import { openedListeners } from './config/check.js'
import { ConfError, EXIT } from './config/grammar.js'
import type { Config } from './config/load.js'
import { SaslService, SaslUnavailable, type Tell } from './sasl-service.js'

/** Listing takes no time, but for a plug-in that waits for something. */
const LIST_MS = 5000
/** What any cipher of TLS has. */
const TLS_BITS = 128
/** No mechanism is offered by address. */
const SOMEWHERE = '127.0.0.1;0'

const saslListeners = (config: Config): string[] =>
  openedListeners(config).flatMap(([key, method]) => (method === 'sasl' ? [key] : []))

/** Undefined if no listener needs it: the library is not loaded then. Throws ConfError if it is not to be had. */
export async function saslFor(config: Config, tell: Tell): Promise<SaslService | undefined> {
  const [key] = saslListeners(config)
  if (key === undefined) return undefined
  try {
    return await SaslService.start(config, tell)
  } catch (error) {
    if (!(error instanceof SaslUnavailable)) throw error
    throw new ConfError(`${key} = "sasl" needs libsasl2: ${error.message}`, EXIT.network)
  }
}

/** A warning for each listener on which nobody can log in, because the library's own configuration leaves no way. */
export async function withoutMechanisms(sasl: SaslService, config: Config): Promise<string[]> {
  const desk = new SaslDesk()
  desk.connect(sasl.connect())
  const warnings: string[] = []
  for (const key of saslListeners(config)) {
    const attempt = desk.attempt()
    const parameters: SaslParameters = {
      local: SOMEWHERE,
      remote: SOMEWHERE,
      secure: key !== 'auth_tcp',
      minSsf: config.tcpMinSsf,
      externalSsf: key === 'auth_tls' ? TLS_BITS : 0
    }
    const failure = attempt.begin(parameters).then(() => undefined, (error: Error) => error.message)
    const why = await Promise.race([failure, sleep(LIST_MS, undefined, { ref: false })])
    if (why !== undefined) warnings.push(`${key} = "sasl" lets nobody in: ${why} (mech_list in libsasl2's libvirt.conf)`)
    attempt.forget()
  }
  desk.close()
  return warnings
}
