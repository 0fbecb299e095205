import type { ReadStream, WriteStream } from 'node:tty'
import { createLogUpdate } from 'log-update'
import sliceAnsi from 'slice-ansi'

/** A screen beside the one that the shell has, which is as it was when we leave. */
const ENTER = '\x1b[?1049h\x1b[H'
const LEAVE = '\x1b[?1049l'
const ERASE = '\x1b[2J\x1b[H'
/** What one key sends: several may come together. */
const KEY = /\x1b\[[\d;]*[A-Za-z~]|[\s\S]/gu
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const

/** The whole terminal. */
export class Screen {
  readonly #input: ReadStream
  readonly #output: WriteStream
  readonly #update: ReturnType<typeof createLogUpdate>
  #left = false

  /** `pressed`: is told of keys, as what they send. `resized`: it is to be drawn anew. */
  constructor(input: ReadStream, output: WriteStream, pressed: (key: string) => void, resized: () => void) {
    this.#input = input
    this.#output = output
    this.#update = createLogUpdate(output)
    output.write(ENTER)
    input.setRawMode(true)
    input.setEncoding('utf8').on('data', keys => {
      for (const [key] of String(keys).matchAll(KEY)) pressed(key)
    })
    // What hangs up reads no more.
    input.on('end', () => pressed('q'))
    output.on('resize', () => {
      // Lines have been broken otherwise by the terminal.
      this.#update.clear()
      output.write(ERASE)
      resized()
    })
    for (const signal of SIGNALS) process.once(signal, this.#signalled)
    process.once('exit', this.leave)
  }

  get rows(): number {
    // The last line is the cursor's.
    return this.#output.rows - 1
  }

  draw(lines: readonly string[]): void {
    if (this.#left) return
    const { columns } = this.#output
    // No line is empty, and there are always as many: so each keeps its place.
    this.#update(lines.map(line => (line === '' ? ' ' : sliceAnsi(line, 0, columns))).join('\n'))
  }

  readonly leave = (): void => {
    if (this.#left) return
    this.#left = true
    this.#update.done()
    this.#output.write(LEAVE)
    this.#input.setRawMode(false)
    this.#input.pause()
  }

  /** The terminal first; then what would have happened. */
  readonly #signalled = (signal: NodeJS.Signals): void => {
    this.leave()
    process.kill(process.pid, signal)
  }
}
