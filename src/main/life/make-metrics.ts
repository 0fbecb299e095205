import { failureText, SOURCE } from '../../workers/base/log.js'
import { knownSockets } from '../../workers/driver/driver-sockets.js'
import { LoopWatch } from '../../workers/thread/loop-watch.js'
import type { Counters } from '../../workers/thread/counters.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import type { MetricsPlace } from '../config/metrics-place.js'
import { version } from '../config/version.js'
import type { Logger } from '../log/logger.js'
import { answers } from '../metrics/answers.js'
import type { BrokerState } from '../metrics/broker-state.js'
import { certificateSource } from '../metrics/certificates.js'
import { clientSource, type ClientFigures } from '../metrics/clients.js'
import { DriverReach } from '../metrics/driver-reach.js'
import { driverSource } from '../metrics/drivers.js'
import { familySource } from '../metrics/families.js'
import { healthOf } from '../metrics/health.js'
import { takeMetricsPlace } from '../metrics/place.js'
import { procedureSource } from '../metrics/procedures.js'
import { processSource } from '../metrics/process.js'
import { threadSource, type MeasuredThreads } from '../metrics/threads.js'
import { MetricsServer } from '../metrics/server.js'

const LOOK_MS = 1000

/** What is told of the broker to whoever watches it. */
export interface Measured {
  readonly threads: MeasuredThreads & { readonly counters: readonly Counters[]; readonly driverConnections: number }
  /** What the supervisor counts itself. */
  readonly own: Counters
  readonly state: BrokerState
  readonly clients: ClientFigures
  readonly maxFds: number
  /** How many listeners for clients are open. */
  readonly listening: () => number
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
      draining: () => of.state.draining,
      listening: of.listening,
      // A session's daemons are started when a client wants them.
      reachesDriver: async () => of.settings().startsDaemons || [...(await reach.look()).values()].includes(true)
    })
    const { threads, own, state } = of
    const sources = [
      processSource(version, of.maxFds),
      state.source,
      clientSource(of.clients),
      threadSource(threads),
      driverSource(reach, () => threads.driverConnections),
      certificateSource(() => of.settings().tls?.context),
      procedureSource(threads.counters),
      familySource(threads.counters, own)
    ]
    const loop = new LoopWatch(own)
    const looking = setInterval(() => loop.look(), LOOK_MS).unref()
    const failed = (error: unknown): void =>
      logger.log('internal-failure', SOURCE.daemon, `metrics: unexpected failure: ${failureText(error)}`)
    const server = new MetricsServer(answers(sources, health), !('kind' in where), failed)
    await server.listen(socket.fd)
    logger.info(SOURCE.daemon, `metrics at ${socket.place}`)
    return {
      close: () => {
        clearInterval(looking)
        loop.stop()
        server.close()
        socket.removeFile()
      }
    }
  } catch (error) {
    return cannot(error)
  }
}
