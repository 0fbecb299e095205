import { within } from './within.js'

/** One run of a thread or process that is kept. */
export interface Run {
  /** Resolves when it serves; rejects with the reason if it cannot. Undefined for what serves once it is started. */
  readonly ready?: Promise<void>
  /** Resolves with the reason when it has ended. Never rejects. */
  readonly ended: Promise<string>
  /** Asks it to end. */
  end(): void
  /** For one that does not end in time, or cannot serve. */
  kill(): void
}

/** What is kept, and who wants to know of it. */
export interface Kept<R extends Run> {
  /** Must not throw: what cannot be started is a run that has ended. */
  start(): R
  /** Milliseconds until the next run is started; 0: that is done at once. `died`: the last one, if it had served. */
  pause(died: R | undefined): number
  /** Milliseconds that a run has to end when it is asked to. */
  readonly patience: number
  /** A run that served has ended unasked. */
  died?(run: R, why: string): void
  /** A run in the place of another could not serve. */
  failed?(why: string): void
  /** A run in the place of another serves. `why`: what the last one ended with. */
  replaced?(why: string): void
}

export type KeeperState = 'idle' | 'starting' | 'serving' | 'pausing' | 'restarting' | 'stopping' | 'stopped'

export const LEGAL: Readonly<Record<KeeperState, readonly KeeperState[]>> = {
  idle: ['starting', 'stopped'],
  // Whoever starts it learns of a failure, and says what is to come of it.
  starting: ['serving', 'idle', 'stopping'],
  serving: ['pausing', 'stopping'],
  pausing: ['restarting', 'stopped'],
  restarting: ['serving', 'pausing', 'stopping'],
  stopping: ['stopped'],
  stopped: []
}

/** Keeps a thread or a process: starts it, starts another when it dies, and ends it within a limit. */
export class Keeper<R extends Run> {
  #state: KeeperState = 'idle'
  #run: R | undefined
  #pause: NodeJS.Timeout | undefined
  /** What the last run ended with. */
  #why = ''

  constructor(readonly kept: Kept<R>) {}

  get state(): KeeperState {
    return this.#state
  }

  /** The one that has been started and has not ended. */
  get run(): R | undefined {
    return this.#run
  }

  /** Resolves when it serves. Rejects if it does not come to that, and then it may be started anew. */
  async start(): Promise<void> {
    const run = this.#begin('starting')
    const early = run.ended.then(why => Promise.reject(new Error(why)))
    // Nobody asks how it ended once it has served.
    early.catch(() => undefined)
    if (run.ready !== undefined) await Promise.race([run.ready, early])
  }

  /** Ends it for good. Resolves when it has ended, or has not in time: with whether it has. */
  async stop(): Promise<boolean> {
    clearTimeout(this.#pause)
    const run = this.#run
    if (this.#state === 'stopped') return true
    if (run === undefined) return this.#become('stopped')
    if (this.#state !== 'stopping') {
      this.#become('stopping')
      run.end()
    }
    const inTime = await within(this.kept.patience, run.ended)
    if (!inTime) run.kill()
    this.#over(run, 'it was stopped')
    return inTime
  }

  #become(next: KeeperState): true {
    if (!LEGAL[this.#state].includes(next)) throw new Error(`what is ${this.#state} cannot become ${next}`)
    this.#state = next
    return true
  }

  #begin(state: 'starting' | 'restarting'): R {
    this.#become(state)
    const run = this.kept.start()
    this.#run = run
    if (run.ready === undefined) this.#serves(run)
    else run.ready.then(() => this.#serves(run), (error: Error) => this.#cannotServe(run, error.message))
    void run.ended.then(why => this.#over(run, why))
    return run
  }

  #serves(run: R): void {
    if (this.#run !== run || this.#state === 'stopping') return
    const replaced = this.#state === 'restarting'
    this.#become('serving')
    if (replaced) this.kept.replaced?.(this.#why)
  }

  #cannotServe(run: R, why: string): void {
    if (this.#run !== run) return
    run.kill()
    this.#over(run, why)
  }

  #over(run: R, why: string): void {
    if (this.#run !== run) return
    this.#run = undefined
    this.#why = why
    switch (this.#state) {
      case 'starting':
        this.#become('idle')
        return
      case 'serving':
        this.#again(this.kept.pause(run))
        return this.kept.died?.(run, why)
      case 'restarting':
        this.#again(this.kept.pause(undefined))
        return this.kept.failed?.(why)
      default:
        this.#become('stopped')
    }
  }

  #again(ms: number): void {
    this.#become('pausing')
    if (ms === 0) this.#begin('restarting')
    else this.#pause = setTimeout(() => this.#begin('restarting'), ms).unref()
  }
}
