import { gauge, only, type Source } from './metric.js'

/** How the broker as a whole is, for those who watch it. */
export class BrokerState {
  /** A stop, or a draining, has begun. */
  draining = false
  #reloaded = true
  #reloadedAt = Date.now()

  /** The configuration was to be loaded anew. */
  reloaded(ok: boolean): void {
    this.#reloaded = ok
    if (ok) this.#reloadedAt = Date.now()
  }

  readonly source: Source = () => [
    gauge('config_last_reload_successful', 'Whether the file is in use as it was last read.', only(this.#reloaded ? 1 : 0)),
    gauge(
      'config_last_reload_success_timestamp_seconds', 'When the configuration that is in use was read, in seconds since 1970.',
      only(this.#reloadedAt / 1000)
    ),
    gauge('draining', 'Whether a stop, or a draining, has begun.', only(this.draining ? 1 : 0))
  ]
}
