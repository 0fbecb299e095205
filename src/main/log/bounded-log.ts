import type { LogContext, LogSource } from '../../workers/base/log.js'
import type { MessageKind } from '../../workers/base/log-kinds.js'
import type { Logger } from './logger.js'

const WINDOW_MS = 60_000

/** For what strangers can make happen as often as they like: a few lines a minute of each topic, the rest is counted. */
export class BoundedLog {
  readonly #topics = new Map<string, { until: number; said: number; left: number }>()

  constructor(
    readonly logger: Pick<Logger, 'log'>,
    readonly source: LogSource,
    /** Is called for each line that is left out. */
    readonly leftOut: () => void = () => undefined
  ) {}

  /** Topics are kept for ever: there must be few. */
  log(kind: MessageKind, topic: string, linesPerMinute: number, message: () => string, about?: LogContext): void {
    const now = performance.now()
    let state = this.#topics.get(topic)
    const left = state?.left ?? 0
    const fresh = state === undefined || state.until <= now
    if (state === undefined || fresh) this.#topics.set(topic, (state = { until: now + WINDOW_MS, said: 0, left: 0 }))
    if (state.said++ >= linesPerMinute) {
      state.left++
      this.leftOut()
      return
    }
    const text = fresh && left > 0 ? `${message()} (${left} more of the kind were not logged)` : message()
    this.logger.log(kind, this.source, text, about)
  }
}
