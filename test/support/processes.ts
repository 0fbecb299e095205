import { type ChildProcessWithoutNullStreams, spawn, type SpawnOptionsWithoutStdio } from 'node:child_process'
import { once } from 'node:events'
import { waitFor } from './waiting.js'

/** What a finished command left: exit status (null when a signal ended it) and all its output as text. */
export interface Outcome { status: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }

/** Options of `run`: text for standard input, environment (replaces ours), time limit in milliseconds. */
export interface RunOptions { input?: string; env?: NodeJS.ProcessEnv; timeout?: number; cwd?: string }

/** Programs of ours that still run. A crash of the test process must not leave them behind. */
const running = new Set<Program>()
process.on('exit', () => { for (const program of running) program.child.kill('SIGKILL') })

/** A program under test that runs on while the test goes on, with all that it printed so far. */
export class Program {
  readonly child: ChildProcessWithoutNullStreams
  readonly exited: Promise<{ status: number | null; signal: NodeJS.Signals | null }>
  stdout = ''
  stderr = ''
  #ended = false

  constructor(readonly argv: readonly string[], options: SpawnOptionsWithoutStdio = {}) {
    const [file, ...args] = argv
    if (file === undefined) throw new Error('a program needs a name')
    this.child = spawn(file, args, options)
    running.add(this)
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => { this.stdout += text })
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => { this.stderr += text })
    // A program that ends early closes its input; that is no error of the test.
    this.child.stdin.on('error', () => undefined)
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', error => { this.#end(); reject(error) })
      this.child.once('close', (status, signal) => { this.#end(); resolve({ status, signal }) })
    })
    // Whoever waits for `exited` sees the error; nobody waiting must not end the test process.
    this.exited.catch(() => undefined)
  }

  get ended(): boolean { return this.#ended }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.argv.join(' ')} did not start`)
    return this.child.pid
  }

  /** Ends the program: SIGTERM, and SIGKILL when it takes longer than `patience` milliseconds. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', patience = 10000): Promise<void> {
    if (this.#ended) return
    this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), patience)
    await this.exited.catch(() => undefined)
    clearTimeout(timer)
  }

  /** Resolves when it has said that on standard error. What it has done may be seen before what it says of it is read. */
  async hasSaid(what: string | RegExp): Promise<void> {
    const said = (): boolean => (typeof what === 'string' ? this.stderr.includes(what) : what.test(this.stderr))
    await waitFor('a word of it', said).catch((error: unknown) => {
      throw new Error(`never said ${String(what)}: ${this.describe()}`, { cause: error })
    })
  }

  /** All that the program said, for error messages. */
  describe(): string {
    return `${this.argv.join(' ')}\n${this.stdout.slice(-4000)}${this.stderr.slice(-4000)}`
  }

  #end(): void {
    this.#ended = true
    running.delete(this)
  }
}

/** Runs a command to its end. A command that takes too long is killed and the promise rejects with its output. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const spawnOptions: SpawnOptionsWithoutStdio = {}
  if (options.env !== undefined) spawnOptions.env = options.env
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd
  const program = new Program(argv, spawnOptions)
  program.child.stdin.end(options.input ?? '')
  const limit = options.timeout ?? 30000
  let timer: NodeJS.Timeout | undefined
  // What it has started itself, as nsenter(1) does, may go on and hold its pipes open: that is not waited for.
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      program.child.kill('SIGKILL')
      reject(new Error(`no end within ${limit} ms: ${program.describe()}`))
    }, limit)
  })
  try {
    const { status, signal } = await Promise.race([program.exited, late])
    return { status, signal, stdout: program.stdout, stderr: program.stderr }
  } finally {
    clearTimeout(timer)
  }
}

/** Like `run`, for commands that must succeed: anything but exit status 0 is an error with the output in it. */
export async function mustRun(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const outcome = await run(argv, options)
  if (outcome.status !== 0) {
    const end = outcome.signal ?? `status ${String(outcome.status)}`
    throw new Error(`${argv.join(' ')}: ${end}\n${outcome.stdout}${outcome.stderr}`)
  }
  return outcome
}

/** Resolves when the program has printed something that fits; the whole output so far is searched. */
export async function printed(program: Program, pattern: RegExp, timeout = 30_000): Promise<RegExpMatchArray> {
  const end = Date.now() + timeout
  for (;;) {
    const match = program.stdout.match(pattern)
    if (match !== null) return match
    if (program.ended || Date.now() > end) throw new Error(`never printed ${String(pattern)}: ${program.describe()}`)
    const left = AbortSignal.timeout(Math.min(200, Math.max(1, end - Date.now())))
    await once(program.child.stdout, 'data', { signal: left }).catch(() => undefined)
  }
}
