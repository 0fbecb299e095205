import type { Logger } from '../logging.js'

const WINDOW_MS = 60_000

/** For what strangers can make happen as often as they like: a few lines a minute of each topic, the rest is counted. */
export class BoundedLog {
  readonly #topics = new Map<string, { until: number; said: number; left: number }>()

  constructor(
    readonly logger: Logger,
    readonly source: string,
    readonly linesPerMinute = 5
  ) {}

  /** Topics are kept for ever: there must be few. */
  warn(topic: string, message: string): void {
    const now = performance.now()
    let state = this.#topics.get(topic)
    if (state === undefined || state.until <= now) {
      const left = state?.left ?? 0
      this.#topics.set(topic, (state = { until: now + WINDOW_MS, said: 0, left: 0 }))
      if (left > 0) message += ` (${left} more of the kind since the last line)`
    }
    if (state.said++ < this.linesPerMinute) this.logger.warn(this.source, message)
    else state.left++
  }
}
