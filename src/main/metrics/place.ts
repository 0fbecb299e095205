import { endpointText } from '../../workers/os/address.js'
import { EADDRINUSE } from '../../workers/os/libc.js'
import { ListenError, listenTcp, listenUnix, type ListeningSocket } from '../../workers/os/listening-sockets.js'
import { tcpListener, unixListener } from '../../workers/os/process-info.js'
import type { MetricsPlace } from '../config/metrics-place.js'
import { inUse } from '../listen/in-use.js'

const KEY = 'metrics_listen'
const BACKLOG = 16
const OWNER_ALONE = 0o600

/** Takes the place. Rejects with why it cannot be had, and what can be done. */
export async function takeMetricsPlace(where: MetricsPlace): Promise<ListeningSocket> {
  try {
    return 'kind' in where ? listenUnix(where.path, OWNER_ALONE, undefined, BACKLOG) : listenTcp(where.host, where.port, BACKLOG)
  } catch (error) {
    if (!(error instanceof ListenError) || error.errno !== EADDRINUSE) throw error
    const [place, pid] = 'kind' in where
      ? [where.path, unixListener(where.path)]
      : [endpointText({ ip: where.host, port: where.port }), tcpListener(where.host, where.port)]
    throw new Error(`${error.message}; ${await inUse({ place, pid, key: KEY })}`, { cause: error })
  }
}
