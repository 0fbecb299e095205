import { absolutePaths } from '../config/absolute-paths.js'
import { actorSettings, type ConfiguredActor } from '../config/actor-settings.js'
import { aside, offer } from '../config/aside.js'
import { warnings } from '../config/check.js'
import { hostWarnings } from '../config/host-warnings.js'
import { loadConfig, type Config, type LoadOptions } from '../config/load.js'
import { networkPlaces, networkPorts, type NetworkPlace } from '../listen/places.js'

export interface ReloadOptions {
  load: LoadOptions
  pidFile: string
}

/** What a running broker is to go on with. */
export interface Loaded {
  config: Config
  actor: ConfiguredActor
  /** Where it is to listen on the network; undefined where systemd has made the sockets. */
  network: readonly NetworkPlace[] | undefined
  /** What a start would warn of. */
  warnings: readonly string[]
}

/** Reads and checks the configuration in a thread of its own. Rejects with StartupError. */
export const loadAside = (options: ReloadOptions): Promise<Loaded> => aside(import.meta.url, options)

await offer<ReloadOptions>(import.meta.url, async ({ load, pidFile }) => {
  const config = absolutePaths(loadConfig(load), load.directory)
  return {
    config,
    actor: actorSettings(config),
    network: config.passed === undefined ? await networkPlaces(await networkPorts(config), config.listenAddr) : undefined,
    warnings: [...warnings(config), ...hostWarnings(config, pidFile)]
  } satisfies Loaded
})
