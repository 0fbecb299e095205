import type { Cleanup } from './cleanup.js'
import { childrenOf } from './process-state.js'
import { mustRun, Program } from './processes.js'
import { waitFor } from './waiting.js'

/** A program in a pseudo-terminal of script(1), whose screen is kept as a terminal would show it. */
export class Terminal {
  #rows: number
  #columns: number

  private constructor(
    readonly program: Program,
    rows: number,
    columns: number
  ) {
    this.#rows = rows
    this.#columns = columns
  }

  /** When the program has ended, its status and the modes of the terminal are printed. */
  static async start(cleanup: Cleanup, argv: readonly string[], rows: number, columns: number): Promise<Terminal> {
    const command = argv.map(word => `'${word}'`).join(' ')
    const script = `stty rows ${rows} cols ${columns}; echo "shell $$ $(tty)"; ${command}; echo "status $?"; stty -a`
    const env = { ...process.env, SHELL: '/bin/sh', TERM: 'xterm', TZ: 'UTC' }
    const program = new Program(['script', '-qfec', script, '/dev/null'], { env })
    cleanup.defer(() => program.stop('SIGKILL'))
    const terminal = new Terminal(program, rows, columns)
    await waitFor('the shell', () => terminal.#shell !== undefined)
    return terminal
  }

  get #shell(): RegExpExecArray | undefined {
    return /shell (\d+) (\/dev\/\S+)/.exec(this.program.stdout) ?? undefined
  }

  /** The program's own process, once it is there. */
  async pid(): Promise<number> {
    return waitFor('the program', () => childrenOf(Number(this.#shell![1]))[0])
  }

  press(keys: string): void {
    this.program.child.stdin.write(keys)
  }

  async resize(rows: number, columns: number): Promise<void> {
    this.#rows = rows
    this.#columns = columns
    await mustRun(['stty', '-F', this.#shell![2]!, 'rows', String(rows), 'cols', String(columns)])
  }

  /** What is to be seen now of all that was ever written, on a screen of this size. */
  get screen(): { text: string; beside: boolean; cursor: boolean } {
    return drawn(this.program.stdout, this.#rows, this.#columns)
  }

  async shows(what: RegExp): Promise<string> {
    try {
      return await waitFor(String(what), () => (what.test(this.screen.text) ? this.screen.text : undefined))
    } catch (error) {
      throw new Error(`the screen does not show ${String(what)}:\n${this.screen.text}`, { cause: error })
    }
  }
}

/** Escape sequences of a terminal, or one character. */
const TOKEN = /\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b[78]|[\s\S]/gu

/** As much of a terminal as programs here make use of; it throws for what it does not know. */
function drawn(written: string, rows: number, columns: number): { text: string; beside: boolean; cursor: boolean } {
  let screen = empty(rows, columns)
  let main = screen
  let [row, column, cursor, beside] = [0, 0, true, false]
  const down = (): void => {
    if (row < rows - 1) row++
    else screen = [...screen.slice(1), ...empty(1, columns)]
  }
  for (const [token, mode, numbers = '', command] of written.matchAll(TOKEN)) {
    const count = Number(numbers.split(';')[0] === '' ? 1 : numbers.split(';')[0])
    if (mode === '?' && numbers === '1049') {
      beside = command === 'h'
      if (beside) main = screen
      screen = beside ? empty(rows, columns) : main
    } else if (mode === '?' && numbers === '25') cursor = command === 'h'
    else if (mode === '?') continue
    else if (command === 'A') row = Math.max(0, row - count)
    else if (command === 'B') row = Math.min(rows - 1, row + count)
    else if (command === 'G') column = count - 1
    else if (command === 'H') [row, column] = [0, 0]
    else if (command === 'J') {
      const all = numbers === '2'
      screen = screen.map((line, at) => blank(line, all || at > row ? 0 : at === row ? column : columns))
    } else if (command === 'K') screen[row] = blank(screen[row]!, numbers === '2' ? 0 : column)
    else if (command === 'm') continue
    else if (token === '\n') down()
    else if (token === '\r') column = 0
    else if (token.startsWith('\x1b')) throw new Error(`an escape sequence that this terminal does not know: ${JSON.stringify(token)}`)
    else {
      if (column >= columns) {
        column = 0
        down()
      }
      screen[row]![column++] = token
    }
  }
  return { text: screen.map(line => line.join('').trimEnd()).join('\n'), beside, cursor }
}

const empty = (rows: number, columns: number): string[][] => Array.from({ length: rows }, () => Array.from({ length: columns }, () => ' '))
const blank = (line: readonly string[], from: number): string[] => line.map((character, at) => (at < from ? character : ' '))
