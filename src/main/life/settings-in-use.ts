import { SOURCE } from '../../workers/base/log.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import type { AuditPlace } from '../config/audit-place.js'
import { StartupError } from '../config/startup-error.js'
import { levelNames } from '../config/log-settings.js'
import type { Listeners } from '../listen/listeners.js'
import type { NetworkChange } from '../listen/network.js'
import type { NetworkPlace } from '../listen/places.js'
import type { Logger } from '../log/logger.js'
import { saslFor } from '../threads/sasl-use.js'
import type { SaslService } from '../threads/sasl-service.js'
import { TlsKeeper } from '../tls/keeper.js'
import { loadTlsAside } from '../tls/load-thread.js'
import type { LiveSettings } from './admin-control.js'
import type { BrokerSettings } from './settings.js'

/** A part of what is to change. All parts are prepared before one of them is used. */
export interface Prepared {
  /** Like `drop` it never throws: the other parts come after it. */
  use(): void
  /** It is not used after all. */
  drop(): void
}

/** Who goes on with other settings. */
export interface SettingsUsers {
  readonly logger: Logger
  readonly listeners: Pick<Listeners, 'change' | 'close' | 'open' | 'setBacklog'>
  /** Limits of the clients, and of the admin socket. */
  useLimits(settings: BrokerSettings): void
  /** In all threads. Resolves when all of them know. */
  useInThreads(settings: ActorSettings, minClients: number): Promise<void>
  /** Records go there from now on, if it is used. */
  prepareAudit(place: AuditPlace | undefined): Promise<Prepared>
  /** There is a SASL thread now, or another. */
  useSasl(sasl: SaslService): void
}

/** The settings that the broker runs by, with what is made from them: certificates and the SASL thread. */
export class SettingsInUse implements LiveSettings {
  /** Replaced as a whole. */
  #settings: BrokerSettings
  #tls: TlsKeeper | undefined
  #sasl: SaslService | undefined
  /** What replaces settings or certificates, one after the other. */
  #changes: Promise<unknown> = Promise.resolve()
  #nextUpdate: Promise<void> | undefined

  /** `testDriverSocket`: where the embedded test driver listens, if it does. */
  constructor(
    settings: BrokerSettings,
    readonly testDriverSocket: string | undefined,
    readonly users: SettingsUsers
  ) {
    this.#settings = settings
  }

  /** Loads what the settings need, for users that begin with it. Rejects with StartupError. */
  async start(): Promise<void> {
    const { tls } = this.#settings
    if (tls !== undefined) this.#tls = await TlsKeeper.start(tls, this.users.logger)
    this.#watchTls()
    this.#sasl = await this.#saslFor(this.#settings)
  }

  get settings(): BrokerSettings {
    return this.#settings
  }

  /** What the actor threads know of them. */
  get actorSettings(): ActorSettings {
    return {
      ...this.#settings.actor,
      logLevel: levelNames[this.users.logger.lowestLevel],
      testDriverSocket: this.testDriverSocket,
      tls: this.#tls?.settings
    }
  }

  /** Undefined as long as no listener has needed it. */
  get sasl(): SaslService | undefined {
    return this.#sasl
  }

  /**
   * Goes on with other settings, with all of them at once. `network`: where to listen, if that is ours to say. Rejects, and
   * has changed nothing, if they cannot be used.
   */
  apply(settings: BrokerSettings, network: readonly NetworkPlace[] | undefined): Promise<void> {
    return this.#afterOthers(async () => {
      const { logger, listeners } = this.users
      const prepared: Prepared[] = []
      let change: NetworkChange | undefined
      try {
        prepared.push(await this.#prepareTls(settings))
        prepared.push(await this.#prepareSasl(settings))
        prepared.push(await this.users.prepareAudit(settings.audit))
        // Nothing is waited for from here on: a listener that has to make way for others is silent no longer than this takes.
        change = network && listeners.change(network, settings.backlog)
        logger.use(settings.log)
      } catch (error) {
        change?.undo()
        for (const part of prepared) part.drop()
        throw error
      }
      try {
        this.#settings = settings
        for (const part of prepared) part.use()
        if (change !== undefined) listeners.close(change.removed)
        listeners.setBacklog(({ name }) => (name === 'admin' ? settings.adminBacklog : settings.backlog))
        this.#watchTls()
        await this.#tellAll()
      } finally {
        // Not before the threads know what these clients need.
        listeners.open(change?.added ?? [])
      }
    })
  }

  adjust(change: (now: BrokerSettings) => BrokerSettings): Promise<void> {
    return this.#afterOthers(async () => {
      const settings = change(this.#settings)
      this.users.logger.use(settings.log)
      this.#settings = settings
      await this.#tellAll()
    })
  }

  /**
   * Loads certificates and revocation list anew, for the connections that come from now on. Rejects with StartupError,
   * and has changed nothing, if any of the files cannot be used.
   */
  async updateTls(): Promise<void> {
    // One that has not begun is as good for whoever asks meanwhile.
    this.#nextUpdate ??= this.#afterOthers(async () => {
      this.#nextUpdate = undefined
      if (this.#tls === undefined) throw new StartupError('internal error: no tls service found, unable to update tls files')
      const files = await this.#prepareTls(this.#settings)
      files.use()
      await this.#tellThreads()
    })
    await this.#nextUpdate
  }

  closeTls(): void {
    this.#tls?.close()
    this.#tls = undefined
  }

  #tellAll(): Promise<void> {
    this.users.useLimits(this.#settings)
    return this.#tellThreads()
  }

  #tellThreads(): Promise<void> {
    return this.users.useInThreads(this.actorSettings, this.#settings.minClients)
  }

  #afterOthers(work: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(work)
    this.#changes = done.catch(() => undefined)
    return done
  }

  async #prepareTls({ tls: options }: BrokerSettings): Promise<Prepared> {
    const { logger } = this.users
    const keeper = this.#tls
    const drop = (): void => undefined
    if (options === undefined) return { use: () => this.closeTls(), drop }
    if (keeper === undefined) {
      const loaded = await loadTlsAside(options)
      return { use: () => void (this.#tls = new TlsKeeper(loaded, options, logger)), drop }
    }
    try {
      const loaded = await keeper.load(options)
      const use = (): void => {
        keeper.use(loaded, options)
        logger.info(SOURCE.daemon, 'TLS files loaded anew')
      }
      return { use, drop }
    } catch (error) {
      const why = (error as Error).message
      logger.log('tls-files-kept', SOURCE.daemon, `TLS files not loaded anew, the old ones stay in use: ${why}`)
      throw error
    }
  }

  #watchTls(): void {
    this.#tls?.watch(this.#settings.watchTls ? () => void this.updateTls().catch(() => undefined) : undefined)
  }

  /** A listener may be the first that needs it. */
  async #prepareSasl(settings: BrokerSettings): Promise<Prepared> {
    const sasl = this.#sasl === undefined ? await this.#saslFor(settings) : undefined
    const use = (): void => {
      if (sasl !== undefined) this.users.useSasl((this.#sasl = sasl))
    }
    return { use, drop: () => void sasl?.stop() }
  }

  async #saslFor({ listening }: BrokerSettings): Promise<SaslService | undefined> {
    const { logger } = this.users
    const sasl = await saslFor(listening, (kind, message) => logger.log(kind, SOURCE.sasl, message))
    if (sasl === undefined) return undefined
    sasl.onRestart = why => {
      const text = `the SASL thread died (${why}) and was replaced; logins in progress failed`
      logger.log('sasl-thread-died', SOURCE.sasl, text)
      this.users.useSasl(sasl)
    }
    return sasl
  }
}
