import { AuditInUse } from '#main/audit/audit-in-use.js'
import { actorSettings } from '#main/config/actor-settings.js'
import { loadConfig } from '#main/config/load.js'
import { ActorPool } from '#main/threads/actor-pool.js'
import { NameService } from '#main/threads/name-service.js'
import { descriptorLimits } from '#workers/os/descriptor-limits.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import { LastHeard } from '#workers/os/last-heard.js'
import { Counters } from '#workers/thread/counters.js'
import type { ActorSettings } from '#workers/thread/settings.js'
import { Socket } from 'node:net'
import type { Worker } from 'node:worker_threads'
import type { Cleanup } from './cleanup.js'
import { RawClient } from './raw-client.js'
import { tempDir } from './temp-dir.js'
import { unixPair } from './unix-pair.js'

const LISTENER = { name: 'main', transport: 'unix', readonly: false, auth: 'none' } as const

/** Actor threads of this process, and what they and those who end them need. */
export class PoolUnderTest {
  readonly deaths: string[] = []
  readonly pool: ActorPool
  readonly #workers: Worker[] = []
  #clients = 0

  private constructor(readonly cleanup: Cleanup, readonly settings: ActorSettings, threads: number, metering: boolean) {
    const started = (worker: Worker): void => void this.#workers.push(worker)
    process.on('worker', started)
    cleanup.defer(() => Promise.resolve(void process.off('worker', started)))
    const logger = { info: () => undefined, log: () => undefined }
    const names = new NameService(logger)
    const limits = descriptorLimits(threads + 1)
    this.pool = new ActorPool(
      { threads, minClients: 1, metering, limits },
      settings,
      { closer: new ForeignCloser(new FdLedger(), limits.foreign), lastHeard: new LastHeard() },
      { news: () => undefined, threadDied: (_, why) => this.deaths.push(why), threadStarted: () => undefined },
      { names, audit: new AuditInUse(logger, new Counters()), sasl: undefined, daemons: undefined }
    )
    cleanup.defer(() => this.pool.close())
    cleanup.defer(() => Promise.resolve(names.stop()))
  }

  static async start(cleanup: Cleanup, { threads, metering = false }: { threads: number; metering?: boolean }): Promise<PoolUnderTest> {
    const config = loadConfig({ privileged: false, env: { HOME: await tempDir(cleanup) } })
    const settings: ActorSettings = { ...actorSettings(config), logLevel: 'error', testDriverSocket: undefined, tls: undefined }
    const started = new PoolUnderTest(cleanup, settings, threads, metering)
    await started.pool.started()
    return started
  }

  /** Ends the thread that has this place, wherever it is. */
  kill(index: number): void {
    this.pool.threads[index]!.terminate(this.#workers, 'a test wants it')
  }

  /** A client that some thread is given. */
  async client(): Promise<RawClient> {
    const [fd, peer] = await unixPair(this.cleanup)
    this.pool.hand({ id: ++this.#clients, since: Date.now(), listener: LISTENER, peer: undefined, via: undefined, fd })
    this.pool.flush()
    const socket = new Socket({ fd: peer }).on('error', () => undefined)
    this.cleanup.defer(() => Promise.resolve(void socket.destroy()))
    return new RawClient(socket)
  }
}
