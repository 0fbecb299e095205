import { Timer, type Clock, type Timed } from './clock.js'
import { withContext, type Log, type LogContext, type LogLevel, type LogSource } from './log.js'

const WINDOW_MS = 60_000
/** Kinds that are told apart; all further ones count as one. */
const MAX_KINDS = 64
const OTHERS = 'others'
const SHAPE_CHARACTERS = 60
const EXAMPLE_CHARACTERS = 200

interface Kind {
  lines: number
  level: LogLevel
  source: LogSource
  /** The last line that was left out. */
  example: string
  about: LogContext | undefined
}

/**
 * A log for what peers can cause as often as they like: of each kind of line a few a minute, and how many were left out.
 * Lines are of one kind if they differ in numbers and in what is quoted, which is what peers choose.
 */
export class LogLimit implements Timed {
  readonly #kinds = new Map<string, Kind>()
  readonly #timer = new Timer(this)

  constructor(
    readonly clock: Clock,
    readonly log: Log,
    readonly linesAMinute: number
  ) {}

  /** `shape`: what lines of one kind have in common. */
  readonly write = (level: LogLevel, source: LogSource, message: string, about?: LogContext, shape = shapeOf(message)): void => {
    const kind = this.#kind(shape, level, source)
    if (kind.lines++ < this.linesAMinute) return this.log(level, source, message, about)
    kind.example = message
    kind.about = about
  }

  timeUp(): void {
    for (const { lines, level, source, example, about } of this.#kinds.values()) {
      const leftOut = lines - this.linesAMinute
      if (leftOut <= 0) continue
      const last = withContext(example.slice(0, EXAMPLE_CHARACTERS), about)
      this.log(level, source, `${leftOut} more lines of this kind were left out: ${last}`)
    }
    this.#kinds.clear()
  }

  /** Says what was left out so far, and nothing later. */
  close(): void {
    this.clock.cancel(this.#timer)
    this.timeUp()
  }

  #kind(shape: string, level: LogLevel, source: LogSource): Kind {
    if (this.#kinds.size === 0) this.clock.set(this.#timer, WINDOW_MS)
    const key = this.#kinds.size < MAX_KINDS || this.#kinds.has(shape) ? shape : OTHERS
    let kind = this.#kinds.get(key)
    if (kind === undefined) {
      kind = { lines: 0, level, source, example: '', about: undefined }
      this.#kinds.set(key, kind)
    }
    return kind
  }
}

const shapeOf = (message: string): string =>
  message.slice(0, 4 * SHAPE_CHARACTERS).replace(/'[^']*'?|"[^"]*"?|\([^)]*\)?|\[[^\]]*\]?|\d+/g, '').slice(0, SHAPE_CHARACTERS)
