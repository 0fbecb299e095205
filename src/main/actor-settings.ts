import { readFileSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { aliasMap } from '../protocol/uri.js'
import type { ActorSettings } from '../workers/settings.js'
import { ConfError, parseConf } from './config/grammar.js'
import type { Config } from './config/load.js'

/** What the actor threads need of the configuration. `testDriverSocket`: where the embedded driver listens, if it does. */
export function actorSettings(config: Config, testDriverSocket: string | undefined): ActorSettings {
  const { sockets } = config
  return {
    keepaliveIntervalMs: 1000 * config.keepaliveInterval,
    keepaliveCount: config.keepaliveCount,
    // virtproxyd reads one call and then nothing more when it is told 0.
    callsInFlight: Math.max(1, Math.min(config.maxClientRequests, config.driverMaxRequests)),
    driverConnectTimeoutMs: 1000 * config.driverConnectTimeout,
    loginTimeoutMs: 1000 * config.loginTimeout,
    driverSocketDir: config.driverSocketDir,
    driverSockets: [...config.driverSockets],
    testDriverSocket,
    ownSockets: [sockets.main, sockets.readOnly, sockets.admin].filter(own => own !== undefined).map(realPath),
    uriAliases: readAliases(path.join(path.dirname(config.paths.configFiles[0]!), 'libvirt.conf')),
    privileged: config.privileged
  }
}

/** The socket itself may not be there yet, and its directory may be a link. */
function realPath(socket: string): string {
  try {
    return path.join(realpathSync(path.dirname(socket)), path.basename(socket))
  } catch {
    return socket
  }
}

/** `uri_aliases` of libvirt.conf: names that clients may use instead of a URI. Throws ConfError. */
function readAliases(file: string): [string, string][] {
  let text: string
  try {
    text = readFileSync(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new ConfError(`cannot read ${file}: ${(error as Error).message}`)
  }
  const aliases = parseConf(text, file).get('uri_aliases')?.value
  if (aliases?.kind !== 'list') return []
  const entries = aliases.value.map(item => (item.kind === 'string' ? item.value : ''))
  try {
    return [...aliasMap(entries)]
  } catch (error) {
    throw new ConfError(`${file}: ${(error as Error).message}`)
  }
}
