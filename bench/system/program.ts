import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { atExit } from './at-exit.js'

/** Whatever happens to the bench, it leaves nothing running. */
const running = new Set<Program>()
atExit(() => {
  for (const program of running) program.child.kill('SIGKILL')
})

const STOP_PATIENCE_MS = 10_000

/** A daemon that the bench started. Its output is kept for error messages. */
export class Program {
  readonly child: ChildProcess
  output = ''
  #ended = false
  readonly #argv: readonly string[]

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const [file = '', ...args] = argv
    this.#argv = argv
    this.child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this)
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output = (this.output + text).slice(-8000)))
    }
    this.child.once('error', error => this.#end(error.message))
    this.child.once('exit', (code, signal) => this.#end(`ended with ${signal ?? `status ${String(code)}`}`))
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(this.describe())
    return this.child.pid
  }

  get ended(): boolean {
    return this.#ended
  }

  describe(): string {
    return `${this.#argv.join(' ')}\n${this.output}`
  }

  async stop(): Promise<void> {
    if (this.#ended) return
    const gone = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const patience = setTimeout(() => this.child.kill('SIGKILL'), STOP_PATIENCE_MS)
    await gone
    clearTimeout(patience)
  }

  #end(how: string): void {
    this.#ended = true
    this.output += `${how}\n`
    running.delete(this)
  }
}
