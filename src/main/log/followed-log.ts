import { lineOf } from './lines.js'
import type { LogRecord } from './record.js'

const MOST_LINES = 256
const MAX_CHARACTERS = 1000
/** Nobody follows who has not asked for so long. */
const PATIENCE_MS = 10_000

/** A line, as an object of JSON, and its number, from 1. */
export type NumberedLine = readonly [number: number, line: string]

/** The last lines of the log, for those who follow it; kept only while there is somebody. */
export class FollowedLog {
  #lines: string[] | undefined
  #count = 0
  #since = 0
  #timer: NodeJS.Timeout | undefined

  add(record: LogRecord): void {
    if (this.#lines === undefined) return
    this.#lines[++this.#count % MOST_LINES] = lineOf.json({ ...record, message: record.message.slice(0, MAX_CHARACTERS) })
  }

  /** Keeps lines from now on, if it did not. Returns the number of the last line that there was. */
  follow(patienceMs = PATIENCE_MS): number {
    if (this.#lines === undefined) {
      this.#lines = []
      this.#since = this.#count
    }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => (this.#lines = undefined), patienceMs).unref()
    return this.#count
  }

  /** Those after the one with that number, as far as they are kept. */
  *after(number: number): Generator<NumberedLine> {
    if (this.#lines === undefined) return
    const first = Math.max(number, this.#count - MOST_LINES, this.#since) + 1
    for (let next = first; next <= this.#count; next++) yield [next, this.#lines[next % MOST_LINES]!]
  }
}
