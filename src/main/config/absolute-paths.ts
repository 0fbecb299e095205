import { resolve } from 'node:path'
import type { Config } from './load.js'
import type { Pair } from './tls-files.js'

/** Empty is a value of its own, and `@` begins a name that is no file's. */
export const absolutePath = (path: string, directory = process.cwd()): string =>
  path === '' || path.startsWith('@') ? path : resolve(directory, path)

/**
 * The configuration with all paths absolute: what stands in it is meant from the directory in which the broker was
 * started, and is used long after it has left that.
 */
export function absolutePaths(config: Config, directory = process.cwd()): Config {
  const absolute = (path: string): string => absolutePath(path, directory)
  const absolutePair = ({ certificate, key }: Pair): Pair => ({ certificate: absolute(certificate), key: absolute(key) })
  const { main, readOnly, admin } = config.sockets
  const { tls } = config
  return {
    ...config,
    sockets: {
      main: absolute(main),
      ...(readOnly !== undefined && { readOnly: absolute(readOnly) }),
      ...(admin !== undefined && { admin: absolute(admin) })
    },
    driverSocketDir: absolute(config.driverSocketDir),
    tls: tls && {
      ca: absolute(tls.ca),
      crl: tls.crl && absolute(tls.crl),
      identities: tls.identities.map(absolutePair),
      indexed: tls.indexed.map(absolutePair)
    }
  }
}
