import { resolve } from 'node:path'
import type { Config } from './load.js'
import type { Pair } from './tls-files.js'

/** Empty is a value of its own, and `@` begins a name that is no file's. */
export const absolutePath = (path: string): string => (path === '' || path.startsWith('@') ? path : resolve(path))

/**
 * The configuration with all paths absolute: what stands in it is meant from the directory in which the broker was
 * started, and is used long after it has left that.
 */
export function absolutePaths(config: Config): Config {
  const { main, readOnly, admin } = config.sockets
  const { tls } = config
  return {
    ...config,
    sockets: {
      main: absolutePath(main),
      ...(readOnly !== undefined && { readOnly: absolutePath(readOnly) }),
      ...(admin !== undefined && { admin: absolutePath(admin) })
    },
    driverSocketDir: absolutePath(config.driverSocketDir),
    tls: tls && {
      ca: absolutePath(tls.ca),
      crl: tls.crl && absolutePath(tls.crl),
      identities: tls.identities.map(absolutePair),
      indexed: tls.indexed.map(absolutePair)
    }
  }
}

const absolutePair = ({ certificate, key }: Pair): Pair => ({
  certificate: absolutePath(certificate),
  key: absolutePath(key)
})
