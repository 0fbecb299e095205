import path from 'node:path'
import { actorSettings } from './actor-settings.js'
import { warnings } from './config/check.js'
import type { Config } from './config/load.js'
import { levelNames } from './config/log-settings.js'
import { makeDirectory } from './make-directory.js'
import { createBrokerLogger, type Logger } from './logging.js'
import { PidFile } from './pid-file.js'
import { SOURCE } from '../workers/log.js'
import { Supervisor } from './supervisor.js'
import { TestDriverHost, testDriverPlaces } from './test-driver-host.js'

export interface DaemonOptions {
  /** Undefined: the usual place; empty: none. */
  pidFile?: string | undefined
  /** Seconds without a client after which it ends by itself; 0: never. */
  timeout: number
  daemon: boolean
}

/** The broker as a whole: log, pid file, embedded test driver, supervisor. */
export class Daemon {
  readonly logger: Logger
  readonly #config: Config
  readonly #options: DaemonOptions
  readonly #supervisor: Supervisor
  #pidFile: PidFile | undefined
  #testDriver: TestDriverHost | undefined
  #stopped: Promise<void> | undefined

  constructor(config: Config, options: DaemonOptions) {
    this.#config = config
    this.#options = options
    this.logger = createBrokerLogger(config.log, config.paths, options.daemon)
    this.#supervisor = new Supervisor(config, this.logger)
  }

  /** Resolves when the sockets are there. Rejects with ConfError or ListenError, and has put everything away then. */
  async start(): Promise<void> {
    for (const warning of warnings(this.#config)) this.logger.warn(SOURCE.daemon, warning)
    try {
      const pidPath = this.#options.pidFile ?? this.#config.paths.pidFile
      makeDirectories([this.#config.sockets.main, pidPath], this.#config.privileged)
      if (pidPath !== '') this.#pidFile = new PidFile(pidPath)
      const testSocket = await this.#startTestDriver()
      await this.#supervisor.start(actorSettings(this.#config, levelNames[this.logger.lowestLevel], testSocket))
    } catch (error) {
      this.logger.error(SOURCE.daemon, (error as Error).message)
      await this.stop()
      throw error
    }
    this.logger.info(SOURCE.daemon, `ready, with ${this.#config.actorThreads} actor threads`)
  }

  /** Calls `stop` when there has been no client for as long as `timeout` says. */
  stopWhenIdle(stop: () => void): void {
    const ms = 1000 * this.#options.timeout
    if (ms === 0) return
    let timer: NodeJS.Timeout | undefined = setTimeout(stop, ms)
    this.#supervisor.onIdle = idle => {
      clearTimeout(timer)
      timer = idle ? setTimeout(stop, ms) : undefined
    }
  }

  reload(): void {
    void this.#supervisor.reload()
  }

  /** Closes all clients, and leaves no file behind. More than one call is harmless. */
  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      this.logger.info(SOURCE.daemon, 'stopping')
      await this.#supervisor.stop()
      await this.#testDriver?.stop()
      this.#pidFile?.remove()
      await this.logger.close()
    })()
    return this.#stopped
  }

  async #startTestDriver(): Promise<string | undefined> {
    const { embeddedTestDriver, embeddedTestDriverUser, privileged, sockets } = this.#config
    if (!embeddedTestDriver) return undefined
    const places = testDriverPlaces(sockets.main)
    this.#testDriver = new TestDriverHost(places, privileged ? embeddedTestDriverUser : '', this.logger)
    await this.#testDriver.start()
    return places.socket
  }
}

function makeDirectories(files: string[], privileged: boolean): void {
  const before = process.umask(privileged ? 0o022 : 0o077)
  try {
    for (const file of files) if (path.isAbsolute(file)) makeDirectory(path.dirname(file))
  } finally {
    process.umask(before)
  }
}
