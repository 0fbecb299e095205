import { absolutePaths } from './absolute-paths.js'
import { actorSettings, type ConfiguredActor } from './actor-settings.js'
import { aside, offer } from './aside.js'
import { loadConfig, type Config, type LoadOptions } from './load.js'

/** What a running broker is to go on with. */
export interface Loaded {
  config: Config
  actor: ConfiguredActor
}

/** Reads and checks the configuration in a thread of its own. Rejects with StartupError. */
export const loadAside = (options: LoadOptions): Promise<Loaded> => aside(import.meta.url, options)

await offer<LoadOptions>(import.meta.url, options => {
  const config = absolutePaths(loadConfig(options), options.directory)
  return { config, actor: actorSettings(config) } satisfies Loaded
})
