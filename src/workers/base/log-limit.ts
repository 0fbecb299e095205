import { Timer, type Clock, type Timed } from './clock.js'
import { withContext, type About, type Log, type LogSource } from './log.js'
import type { LogKind } from './log-kinds.js'

const WINDOW_MS = 60_000
/** Shapes that are told apart; all further ones count as one. */
const MAX_SHAPES = 64
const OTHERS = 'others'
const SHAPE_CHARACTERS = 60
const EXAMPLE_CHARACTERS = 200

interface Shape {
  lines: number
  kind: LogKind
  source: LogSource
  /** The last line that was left out. */
  example: string
  about: About | undefined
}

/**
 * A log for what peers can cause as often as they like: of lines of one shape a few a minute, and how many were left out.
 * Lines are of one shape if they differ in numbers and in what is quoted, which is what peers choose.
 */
export class LogLimit implements Timed {
  readonly #shapes = new Map<string, Shape>()
  readonly #timer = new Timer(this)

  constructor(
    readonly clock: Clock,
    readonly log: Log,
    readonly linesAMinute: number,
    /** Is called for each line that is left out. */
    readonly leftOut: () => void = () => undefined
  ) {}

  /** `name`: of the shape. */
  readonly write = (kind: LogKind, source: LogSource, message: string, about?: About, name = shapeOf(message)): void => {
    const shape = this.#shape(name, kind, source)
    if (shape.lines++ < this.linesAMinute) return this.log(kind, source, message, about)
    this.leftOut()
    shape.example = message
    shape.about = about
  }

  timeUp(): void {
    for (const { lines, kind, source, example, about } of this.#shapes.values()) {
      const leftOut = lines - this.linesAMinute
      if (leftOut <= 0) continue
      const last = withContext(example.slice(0, EXAMPLE_CHARACTERS), about?.())
      this.log(kind, source, `${leftOut} more lines of this kind were left out: ${last}`)
    }
    this.#shapes.clear()
  }

  /** Says what was left out so far, and nothing later. */
  close(): void {
    this.clock.cancel(this.#timer)
    this.timeUp()
  }

  #shape(name: string, kind: LogKind, source: LogSource): Shape {
    if (this.#shapes.size === 0) this.clock.set(this.#timer, WINDOW_MS)
    const key = this.#shapes.size < MAX_SHAPES || this.#shapes.has(name) ? name : OTHERS
    let shape = this.#shapes.get(key)
    if (shape === undefined) {
      shape = { lines: 0, kind, source, example: '', about: undefined }
      this.#shapes.set(key, shape)
    }
    return shape
  }
}

const shapeOf = (message: string): string =>
  message.slice(0, 4 * SHAPE_CHARACTERS).replace(/'[^']*'?|"[^"]*"?|\([^)]*\)?|\[[^\]]*\]?|\d+/g, '').slice(0, SHAPE_CHARACTERS)
