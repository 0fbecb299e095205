import { unwatchFile, watchFile } from 'node:fs'
import { SOURCE } from '../../workers/base/log.js'
import type { TlsSettings } from '../../workers/tls/tls-settings.js'
import type { Logger } from '../log/logger.js'
import type { LoadedTls, TlsOptions } from './load.js'
import { loadTlsAside } from './load-thread.js'

const DAY_MS = 24 * 3600 * 1000
/** How long before its end a certificate is spoken of. */
const NOTICE_DAYS = 30
/** How often the files are looked at; and how long they must then be left alone, because several change together. */
const WATCH_MS = 2000
const SETTLE_MS = 1000

/** Keeps what was loaded from the files of the TLS listener: loads it anew, and speaks of certificates that end soon. */
export class TlsKeeper {
  #options: TlsOptions
  #loaded: LoadedTls
  #watched: string[] = []
  #settling: NodeJS.Timeout | undefined
  readonly #daily: NodeJS.Timeout

  constructor(
    loaded: LoadedTls,
    options: TlsOptions,
    readonly logger: Logger
  ) {
    this.#options = options
    this.#loaded = loaded
    this.#speakOf(loaded)
    this.#daily = setInterval(() => this.#speakOfExpiries(), DAY_MS)
    this.#daily.unref()
  }

  /** Throws a StartupError. */
  static async start(options: TlsOptions, logger: Logger): Promise<TlsKeeper> {
    return new TlsKeeper(await loadTlsAside(options), options, logger)
  }

  get settings(): TlsSettings {
    return this.#loaded.settings
  }

  /** Reads everything anew, for `use`. Rejects with StartupError if any of it cannot be used. */
  load(options = this.#options): Promise<LoadedTls> {
    return loadTlsAside(options)
  }

  use(loaded: LoadedTls, options = this.#options): void {
    this.#options = options
    this.#loaded = loaded
    this.#speakOf(loaded)
  }

  /** Calls `changed` when files have changed and have then been left alone for a moment. Undefined: no longer. */
  watch(changed: (() => void) | undefined): void {
    this.#unwatch()
    if (changed === undefined) return
    const { ca, crl, identities, indexed } = this.#options.files
    const files = [ca, crl, ...[...identities, ...indexed].flatMap(({ certificate, key }) => [certificate, key])]
    this.#watched = files.filter(file => file !== undefined)
    for (const file of this.#watched) {
      // By time and size, because files come by renaming, through links and on network file systems.
      watchFile(file, { interval: WATCH_MS, persistent: false }, () => {
        clearTimeout(this.#settling)
        this.#settling = setTimeout(changed, SETTLE_MS).unref()
      })
    }
  }

  close(): void {
    clearInterval(this.#daily)
    this.#unwatch()
  }

  #unwatch(): void {
    clearTimeout(this.#settling)
    for (const file of this.#watched.splice(0)) unwatchFile(file)
  }

  #speakOf({ warnings }: LoadedTls): void {
    for (const warning of warnings) this.logger.log('certificate-doubtful', SOURCE.tls, warning)
    this.#speakOfExpiries()
  }

  #speakOfExpiries(): void {
    for (const { file, role, notAfter } of this.#loaded.expiries) {
      const days = Math.floor((notAfter - Date.now()) / DAY_MS)
      if (days >= NOTICE_DAYS) continue
      const which = `the ${role} certificate '${file}'`
      if (notAfter < Date.now()) this.logger.log('certificate-expired', SOURCE.tls, `${which} has expired`)
      else this.logger.log('certificate-ends', SOURCE.tls, `${which} ends in ${days} days (${new Date(notAfter).toISOString()})`)
    }
  }
}
