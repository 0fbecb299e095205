import { isDeepStrictEqual } from 'node:util'
import type { LogRecord } from './record.js'

export interface RepeatPauses {
  /** So long after the first repetition they are told; if they go on, twice as long each time … */
  readonly firstMs: number
  /** … up to this. What comes later than that after its like is no repetition. */
  readonly longestMs: number
}

/**
 * Messages of warning and above that say the same as the one before are counted, and told in one line now and then. Who
 * asks for more than those wants every line.
 */
export class Repeats {
  readonly #write: (record: LogRecord) => void
  readonly #counted: () => void
  readonly #pauses: RepeatPauses
  #last: LogRecord | undefined
  /** When `#last` was said last. */
  #saidAt = 0
  #count = 0
  #pauseMs: number
  #timer: NodeJS.Timeout | undefined

  /** `counted`: is called for each repetition. */
  constructor(
    write: (record: LogRecord) => void,
    counted: () => void = () => undefined,
    pauses: RepeatPauses = { firstMs: 1000, longestMs: 60_000 }
  ) {
    this.#write = write
    this.#counted = counted
    this.#pauses = pauses
    this.#pauseMs = pauses.firstMs
  }

  take(record: LogRecord): void {
    if (this.#repeats(record)) {
      this.#count++
      this.#counted()
      this.#timer ??= setTimeout(() => this.#timeUp(), this.#pauseMs).unref()
    } else {
      this.#tell()
      this.#last = record.kind === undefined ? undefined : record
      this.#pauseMs = this.#pauses.firstMs
      this.#write(record)
    }
    this.#saidAt = record.time
  }

  /** Writes what was counted so far; what comes next is new. */
  end(): void {
    this.#tell()
    this.#last = undefined
  }

  #tell(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#last === undefined || this.#count === 0) return
    const times = this.#count === 1 ? 'once more' : `${this.#count} times more`
    this.#write({ ...this.#last, message: `${this.#last.message} (said ${times})`, time: this.#saidAt, repeated: this.#count })
    this.#count = 0
  }

  #timeUp(): void {
    this.#tell()
    this.#pauseMs = Math.min(2 * this.#pauseMs, this.#pauses.longestMs)
  }

  #repeats({ kind, source, message, about, time }: LogRecord): boolean {
    const last = this.#last
    if (last === undefined || time - this.#saidAt > this.#pauses.longestMs) return false
    return message === last.message && kind === last.kind && source === last.source && isDeepStrictEqual(about, last.about)
  }
}
