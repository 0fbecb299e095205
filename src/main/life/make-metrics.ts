import { failureText, SOURCE } from '../../workers/base/log.js'
import { knownSockets } from '../../workers/driver/driver-sockets.js'
import type { Counters } from '../../workers/thread/counters.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import type { MetricsPlace } from '../config/metrics-place.js'
import { version } from '../config/version.js'
import type { Logger } from '../log/logger.js'
import { answers } from '../metrics/answers.js'
import { DriverReach } from '../metrics/driver-reach.js'
import { familySource } from '../metrics/families.js'
import { healthOf } from '../metrics/health.js'
import { takeMetricsPlace } from '../metrics/place.js'
import { procedureSource } from '../metrics/procedures.js'
import { processSource } from '../metrics/process.js'
import { MetricsServer } from '../metrics/server.js'

/** What is told of the broker to whoever watches it. */
export interface Measured {
  /** Of the threads, and the supervisor's own. */
  readonly counters: readonly Counters[]
  readonly maxFds: number
  readonly threads: { readonly stuck: readonly number[] }
  /** How many listeners for clients are open. */
  readonly listening: () => number
  /** A stop, or a draining, has begun. */
  readonly draining: () => boolean
  /** As they are now. */
  readonly settings: () => ActorSettings
}

/** What is told is served until it is closed. Where it cannot be served the log says why, and all else goes on. */
export async function makeMetrics(where: MetricsPlace, of: Measured, logger: Logger): Promise<{ close(): void } | undefined> {
  const cannot = (error: unknown): undefined =>
    void logger.log('metrics-not-served', SOURCE.daemon, `the metrics cannot be had: ${(error as Error).message}`)
  try {
    const socket = await takeMetricsPlace(where)
    const reach = new DriverReach(() => knownSockets(of.settings()))
    const health = healthOf({
      stuckThreads: () => of.threads.stuck,
      draining: of.draining,
      listening: of.listening,
      reachesDriver: async () => [...(await reach.look()).values()].includes(true)
    })
    const sources = [processSource(version, of.maxFds), procedureSource(of.counters), familySource(of.counters)]
    const failed = (error: unknown): void =>
      logger.log('internal-failure', SOURCE.daemon, `metrics: unexpected failure: ${failureText(error)}`)
    const server = new MetricsServer(answers(sources, health), !('kind' in where), failed)
    await server.listen(socket.fd)
    logger.info(SOURCE.daemon, `metrics at ${socket.place}`)
    return {
      close: () => {
        server.close()
        socket.removeFile()
      }
    }
  } catch (error) {
    return cannot(error)
  }
}
