/** What is being done right now: one line that is overwritten on a terminal, a line every few seconds elsewhere. */
export class Progress {
  readonly #out: NodeJS.WriteStream
  readonly #began = performance.now()
  #last = -Infinity

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  show(text: string): void {
    const now = performance.now()
    const line = `${Math.round((now - this.#began) / 1000)} s  ${text}`
    if (this.#out.isTTY) this.#out.write(`\r\x1b[K${line.slice(0, (this.#out.columns || 80) - 1)}`)
    else if (now - this.#last > LINE_EVERY_MS) {
      this.#last = now
      this.#out.write(`${line}\n`)
    }
  }

  /** A line that stays. */
  note(text: string): void {
    this.clear()
    this.#out.write(`${text}\n`)
  }

  clear(): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
  }
}

const LINE_EVERY_MS = 5000
