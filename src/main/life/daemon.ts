import path from 'node:path'
import { reasonOf } from '../../workers/os/libc.js'
import { makeDirectory } from '../../workers/os/make-directory.js'
import { actorSettings } from '../config/actor-settings.js'
import { warnings } from '../config/check.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import type { Config, LoadOptions } from '../config/load.js'
import { hostWarnings } from '../config/host-warnings.js'
import { IdleTimer } from './idle-timer.js'
import { inTurn } from './in-turn.js'
import type { LifeControl } from './admin-control.js'
import type { LifeEffects, LifeRequest, LifeState } from './life.js'
import { loadAside } from './reload.js'
import { drain } from './drain.js'
import { brokerSettings, drainSettings } from './settings.js'
import { ownSocketFiles } from '../listen/places.js'
import { ListeningSockets } from '../listen/sockets.js'
import { createBrokerLogger, type Logger } from '../log/logger.js'
import { BrokerState } from '../metrics/broker-state.js'
import { PidFile } from './pid-file.js'
import { SOURCE } from '../../workers/base/log.js'
import type { ServiceState } from './service-manager.js'
import { Supervisor } from './supervisor.js'
import { within } from '../threads/within.js'
import { notNow } from '../admin/failures.js'
import { socketsOf, TestDriverHost, testDriverPlaces } from '../threads/test-driver-host.js'

export interface DaemonOptions {
  /** Undefined: the usual place; empty: none. */
  pidFile: string
  /** Seconds without a client after which it ends by itself; 0: never. */
  timeout: number
  daemon: boolean
  /** How its configuration was loaded. */
  load: LoadOptions
}

/** Who says what the broker is about. */
interface Lived {
  readonly state: LifeState
  request(what: LifeRequest): boolean
}

/** How long a stop may take once nobody is waited for. Threads and processes each have less than that. */
const STOP_MS = 20_000

/** The broker as a whole: log, pid file, embedded test driver, supervisor. */
export class Daemon implements LifeControl, LifeEffects, ServiceState {
  readonly logger: Logger
  #config: Config
  readonly #options: DaemonOptions
  readonly #supervisor: Supervisor
  readonly #idle: IdleTimer
  readonly #state = new BrokerState()
  #life: Lived | undefined
  /** Who waits for the end of a reload. */
  readonly #untilReloaded: ((refused: string | undefined) => void)[] = []
  #pidFile: PidFile | undefined
  #sockets: ListeningSockets | undefined
  #testDriver: TestDriverHost | undefined
  /** What has been warned of. */
  #warned: readonly string[] = []
  /** Why the file as it is now cannot be used, and how often that has been found; undefined if it is in use. */
  #refused: { why: string; times: number } | undefined
  /** Something could not be put away in time. */
  #hangs = false
  /** Of the draining that was begun last. */
  #givenUp = new AbortController()

  constructor(config: Config, options: DaemonOptions) {
    this.#config = config
    this.#options = options
    this.logger = createBrokerLogger(config.log, config.paths, options.daemon)
    this.#idle = new IdleTimer(options.timeout, () => this.request('idle'))
    this.#supervisor = new Supervisor(config, this.logger, this, this.#state)
  }

  /** Resolves when the sockets are there. Rejects with StartupError. */
  async start(): Promise<void> {
    const config = this.#config
    const pidPath = this.#options.pidFile
    this.#warn([...warnings(config), ...hostWarnings(config, pidPath)])
    try {
      makeDirectories([...ownSocketFiles(config), pidPath], config.privileged)
      if (pidPath !== '') this.#pidFile = new PidFile(pidPath)
      this.#sockets = await ListeningSockets.claim(config, this.#testDriverSockets())
      const testSocket = await this.#startTestDriver()
      await this.#supervisor.start(brokerSettings(config, actorSettings(config)), this.#sockets, testSocket)
    } catch (error) {
      this.logger.log('start-failed', SOURCE.daemon, (error as Error).message)
      throw error
    }
    this.logger.info(SOURCE.daemon, `ready, with ${this.#config.actorThreads} actor threads`)
  }

  /** From now on it may ask of itself what others ask of it: to end when nobody is there, or what an administrator wants. */
  livesBy(life: Lived): void {
    this.#life = life
    this.#supervisor.onIdle = idle => (this.#idle.idle = idle)
    this.#idle.idle = this.#supervisor.isIdle
  }

  // For administrators

  get state(): LifeState {
    return this.#life?.state ?? 'starting'
  }

  get refused(): string | undefined {
    return this.#refused?.why
  }

  request(what: LifeRequest): boolean {
    return this.#life?.request(what) ?? false
  }

  shutDown(): void {
    this.request('stop')
  }

  setTimeout(seconds: number): void {
    this.#idle.seconds = seconds
  }

  async loadAnew(): Promise<string | undefined> {
    if (this.state !== 'serving') throw notNow(this.state)
    const loaded = new Promise<string | undefined>(resolve => this.#untilReloaded.push(resolve))
    this.request('reload')
    return loaded
  }

  /** Says what has not been said of the configuration before. */
  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) {
      if (!this.#warned.includes(warning)) this.logger.log('configuration-doubtful', SOURCE.daemon, warning)
    }
    this.#warned = warnings
  }

  /** What cannot be loaded is logged, and everything stays as it is. */
  async reload(): Promise<void> {
    await this.#reload()
    for (const resolve of this.#untilReloaded.splice(0)) resolve(this.refused)
  }

  async #reload(): Promise<void> {
    const { load, pidFile } = this.#options
    try {
      const { config, actor, network, warnings } = await loadAside({ load: { ...load, running: this.#config.written }, pidFile })
      this.#refuseOldLogin(config)
      await this.#supervisor.apply(brokerSettings(config, actor), network)
      this.#config = config
      this.#refused = undefined
      this.#state.reloaded(true)
      this.#warn(warnings)
    } catch (error) {
      this.#state.reloaded(false)
      const why = (error as Error).message
      this.#refused = { why, times: (this.#refused?.times ?? 0) + 1 }
      return this.logger.log('reload-failed', SOURCE.daemon, `configuration not loaded anew, the old one stays in use: ${why}`)
    }
    const { waiting } = this.#config
    this.logger.info(SOURCE.daemon, 'configuration loaded anew')
    if (waiting.length === 0) return
    this.logger.log('restart-needed', SOURCE.daemon, `${waiting.join(', ')}: changed, and used from the next start on`)
  }

  /** A listener that a reload opens must not let in whom the file keeps out. */
  #refuseOldLogin({ listenTcp, listenTls, waiting }: Config): void {
    const opened = { tcp: listenTcp && !this.#config.listenTcp, tls: listenTls && !this.#config.listenTls }
    for (const name of ['tcp', 'tls'] as const) {
      if (!opened[name] || !waiting.includes(`auth_${name}`)) continue
      throw new StartupError(`listen_${name} cannot be turned on: auth_${name} has changed, which needs a restart`)
    }
  }

  /** For files of log and audit that have been renamed. If one cannot be opened, all outputs stay as they are. */
  reopenLog(): void {
    try {
      this.logger.reopen()
      this.logger.info(SOURCE.daemon, 'log opened anew')
    } catch (error) {
      this.logger.log('log-not-reopened', SOURCE.daemon, `log not opened anew: ${(error as Error).message}`)
    }
    void this.#supervisor.reopenAudit()
  }

  drain(): Promise<void> {
    const settings = drainSettings(this.#config)
    const { delayMs, timeoutMs } = settings
    const delay = delayMs === 0 ? '' : `in ${delayMs / 1000} s `
    this.logger.info(SOURCE.daemon, `${delay}no more clients are taken; those that are there have ${timeoutMs / 1000} s`)
    this.#givenUp = new AbortController()
    this.#state.draining = true
    return drain(this.#supervisor, settings, this.#givenUp.signal)
  }

  resume(): void {
    this.#givenUp.abort()
    this.#state.draining = false
    this.#supervisor.takeAgain()
  }

  finish(): void {
    this.#supervisor.finish()
  }

  status(draining: boolean): string {
    const { clients, driverConnections, left } = this.#supervisor
    if (draining) return `${counted(clients, 'client')}, ${counted(left.calls, 'call')}`
    return `${counted(clients, 'client')}, ${counted(driverConnections, 'driver connection')}${this.#refusedText}`
  }

  get #refusedText(): string {
    if (this.#refused === undefined) return ''
    const { times, why } = this.#refused
    return `; the last ${times === 1 ? 'reload' : `${times} reloads`} failed: ${why}`
  }

  stopMs(): number {
    const { delayMs, timeoutMs } = drainSettings(this.#config)
    return delayMs + timeoutMs + STOP_MS
  }

  healthy(): boolean {
    return !this.#hangs && this.#supervisor.healthy
  }

  /**
   * Closes all clients, and leaves no file behind. What cannot be put away is logged, and the rest is put away all the
   * same: it never rejects. What hangs is not waited for.
   */
  async stop(): Promise<void> {
    this.#givenUp.abort()
    const { clients, calls, streams } = this.#supervisor.left
    this.logger.info(SOURCE.daemon, 'stopping')
    if (clients > 0) {
      const what = [counted(clients, 'client'), counted(calls, 'call'), counted(streams, 'stream')].join(', ')
      this.logger.log('stop-cut-off', SOURCE.daemon, `cut off by the stop: ${what}`)
    }
    this.#hangs = !(await within(STOP_MS, this.#putAway()))
    if (this.#hangs) this.logger.log('stop-incomplete', SOURCE.daemon, `not all was put away within ${STOP_MS / 1000} s`)
  }

  async #putAway(): Promise<void> {
    const failed = (what: string, error: Error): void => this.logger.log('stop-incomplete', SOURCE.daemon, `${what}: ${error.message}`)
    await inTurn(
      [
        ['stopping', () => this.#supervisor.stop()],
        ['closing the sockets', () => this.#sockets?.close()],
        ['ending the test driver', () => this.#testDriver?.stop()],
        ['removing the pid file', () => this.#pidFile?.remove()]
      ],
      failed
    )
    await inTurn([['closing the log', () => this.logger.close()]], () => undefined)
  }

  /** Where the embedded test driver listens, if it is on. */
  #testDriverSockets(): string[] {
    const { embeddedTestDriver, sockets } = this.#config
    return embeddedTestDriver ? socketsOf(testDriverPlaces(sockets.main)) : []
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

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

/** Fails in virtproxyd's words, and with its exit code. */
function makeDirectories(files: readonly string[], privileged: boolean): void {
  const before = process.umask(privileged ? 0o022 : 0o077)
  try {
    for (const file of files) if (path.isAbsolute(file)) makeRunDirectory(path.dirname(file))
  } finally {
    process.umask(before)
  }
}

function makeRunDirectory(directory: string): void {
  try {
    makeDirectory(directory)
  } catch (error) {
    throw new StartupError(`unable to create rundir ${directory}: ${reasonOf(error)}`, EXIT.runDir)
  }
}
