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
import { CertificatesInUse, certificateSource } from '../metrics/certificates.js'
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
import { Access, type AccessRules } from '../page/access.js'
import { pageAnswers } from '../page/answers.js'
import { Look, type Shown } from '../page/look.js'

const LOOK_MS = 1000

/** What is told of the broker to whoever watches it. */
export interface Measured {
  readonly threads: MeasuredThreads & Shown['threads']
  /** What the supervisor counts itself. */
  readonly own: Counters
  readonly state: BrokerState
  readonly clients: ClientFigures
  /** What the page shows besides, and who may see it. */
  readonly page: Pick<Shown, 'clients' | 'life' | 'watched'>
  readonly access: Omit<AccessRules, 'own'>
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
    const certificates = new CertificatesInUse(() => of.settings().tls?.context)
    const sources = [
      processSource(version, of.maxFds),
      state.source,
      clientSource(of.clients),
      threadSource(threads),
      driverSource(reach, () => threads.driverConnections),
      certificateSource(certificates),
      procedureSource(threads.counters),
      familySource(threads.counters, own)
    ]
    const loop = new LoopWatch(own)
    const looking = setInterval(() => loop.look(), LOOK_MS).unref()
    const failed = (error: unknown): void =>
      logger.log('internal-failure', SOURCE.daemon, `metrics: unexpected failure: ${failureText(error)}`)
    const plain = answers(sources, health)
    const look = new Look({ ...of.page, places: of.clients, threads, own, certificates, reach, ready: health.ready, maxFds: of.maxFds })
    const page = await pageAnswers(look, new Access({ ...of.access, own: 'kind' in where }))
    const server = new MetricsServer(path => plain.get(path) ?? page(path), !('kind' in where), failed)
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
