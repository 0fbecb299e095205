import type { BrokerLife } from '../admin/broker-program.js'
import type { Bounded, BrokerControl } from '../admin/ports.js'
import type { ClientBounds } from '../clients/admission.js'
import type { LogSettings } from '../config/log-settings.js'
import { SOURCE } from '../../workers/base/log.js'
import type { Logger } from '../log/logger.js'
import type { BrokerSettings } from './settings.js'

/** What can be asked of the broker as a whole: to end, now or when nobody has been there for a while, for instance. */
export interface LifeControl extends BrokerLife {
  shutDown(): void
  /** In seconds; 0: never. */
  setTimeout(seconds: number): void
}

/** Settings in use, and how they are changed. */
export interface LiveSettings {
  readonly settings: BrokerSettings
  /** Goes on with what `change` makes of them; what it throws is passed on, and has changed nothing. */
  adjust(change: (now: BrokerSettings) => BrokerSettings): Promise<void>
  updateTls(): Promise<void>
}

/** What administrators change, by the way that a reload takes. */
export class AdminControl implements BrokerControl {
  constructor(
    readonly logger: Logger,
    readonly live: LiveSettings,
    readonly life: LifeControl
  ) {}

  get log(): Omit<LogSettings, 'format'> {
    return this.logger
  }

  async changeLog(change: Partial<LogSettings>): Promise<void> {
    await this.live.adjust(now => ({ ...now, log: { ...now.log, ...change } }))
    this.#say(`log ${Object.keys(change).join(', ')} changed`)
  }

  limits(of: Bounded): ClientBounds {
    const { limits, adminLimits } = this.live.settings
    return of === 'admin' ? adminLimits : limits
  }

  async changeLimits(of: Bounded, change: (now: ClientBounds) => ClientBounds): Promise<void> {
    await this.live.adjust(now =>
      of === 'admin'
        ? { ...now, adminLimits: change(now.adminLimits) }
        : { ...now, limits: { ...now.limits, ...change(now.limits) } }
    )
    const { maxClients, maxAnonymousClients } = this.limits(of)
    const which = of === 'admin' ? 'admin clients' : 'clients'
    this.#say(`limits of ${which} changed: ${maxClients}, ${maxAnonymousClients} of them not logged in`)
  }

  updateTls(): Promise<void> {
    return this.live.updateTls()
  }

  setTimeout(seconds: number): void {
    this.life.setTimeout(seconds)
    this.#say(seconds === 0 ? 'timeout switched off' : `timeout set to ${seconds} s`)
  }

  shutDown(): void {
    this.#say('shutdown')
    this.life.shutDown()
  }

  #say(what: string): void {
    this.logger.info(SOURCE.daemon, `by the administrator: ${what}`)
  }
}
