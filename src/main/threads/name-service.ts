import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { SOURCE } from '../../workers/base/log.js'
import { keyOf, type NameAnswer, type NameQuestion } from '../../workers/names/messages.js'
import type { Logger } from '../log/logger.js'
import { ForkedProcess } from './forked-process.js'
import { Keeper } from './keeper.js'

/** More than there may be clients at once that are not in yet (`max_anonymous_clients`), each of which asks one thing. */
const AT_ONCE = 32
/** A lookup that takes longer is given up, with the process that it hangs in. */
const PATIENCE_MS = 60_000
/** A lookup in whose course the process died so often is not tried again. */
const MAX_TRIES = 2
/** A process that dies at once again and again is not replaced faster than this. */
const RESTART_PAUSE_MS = 500
const SCRIPT = new URL('../../workers/names/name-process.js', import.meta.url)

interface Lookup {
  readonly question: NameQuestion
  readonly askers: Set<MessagePort>
  tries: number
  /** Set while the process has the question. */
  patience: NodeJS.Timeout | undefined
}

/** Names of users and groups for the actor threads, looked up in a process of its own: see name-process.ts. */
export class NameService {
  readonly #logger: Pick<Logger, 'info' | 'log'>
  readonly #patienceMs: number
  readonly #lookups = new Map<string, Lookup>()
  /** The first question starts the process: where all clients are root's or come over the network there is none. */
  readonly #keeper: Keeper<ForkedProcess>
  #atWork = 0

  constructor(logger: Pick<Logger, 'info' | 'log'>, patienceMs = PATIENCE_MS) {
    this.#logger = logger
    this.#patienceMs = patienceMs
    this.#keeper = new Keeper({
      patience: 0,
      start: () => this.#startProcess(),
      pause: () => RESTART_PAUSE_MS,
      died: (_process, why) => this.#died(why),
      replaced: () => this.#sendNext()
    })
  }

  /** A way to ask, for one actor thread. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    port1.on('message', (question: NameQuestion) => this.#asked(question, port1))
    port1.unref()
    return port2
  }

  /** Waits for nobody: lookups under way end with their process. */
  stop(): void {
    for (const { patience } of this.#lookups.values()) clearTimeout(patience)
    void this.#keeper.stop()
  }

  #startProcess(): ForkedProcess {
    // Each lookup has a thread of libuv's pool for as long as it takes.
    const env = { ...process.env, UV_THREADPOOL_SIZE: String(AT_ONCE) }
    const child = new ForkedProcess(SCRIPT, { env, execArgv: [], stdio: 'ignore' })
    child.onMessage = answer => this.#answered(answer as NameAnswer)
    return child
  }

  #asked(question: NameQuestion, asker: MessagePort): void {
    const key = keyOf(question)
    const lookup = this.#lookups.get(key) ?? { question, askers: new Set(), tries: 0, patience: undefined }
    lookup.askers.add(asker)
    this.#lookups.set(key, lookup)
    if (this.#keeper.state === 'idle') void this.#keeper.start()
    this.#sendNext()
  }

  #sendNext(): void {
    const { run } = this.#keeper
    if (run?.isConnected !== true || this.#atWork >= AT_ONCE) return
    for (const lookup of this.#lookups.values()) {
      if (lookup.patience !== undefined) continue
      lookup.tries++
      lookup.patience = setTimeout(() => this.#hangs(lookup), this.#patienceMs)
      run.send(lookup.question)
      if (++this.#atWork === AT_ONCE) return
    }
  }

  #answered(answer: NameAnswer): void {
    const lookup = this.#lookups.get(keyOf(answer))
    if (lookup === undefined) return
    if (lookup.patience !== undefined) this.#atWork--
    this.#settle(lookup, answer)
    this.#sendNext()
  }

  #hangs(lookup: Lookup): void {
    const { kind, id } = lookup.question
    this.#logger.log('name-service-hangs', SOURCE.server, `the name service does not answer about ${kind} ${id}`)
    lookup.tries = MAX_TRIES
    this.#keeper.run?.kill()
  }

  #died(why: string): void {
    this.#atWork = 0
    for (const lookup of [...this.#lookups.values()]) {
      clearTimeout(lookup.patience)
      lookup.patience = undefined
      if (lookup.tries >= MAX_TRIES) this.#settle(lookup, { ...lookup.question, failed: true })
    }
    this.#logger.info(SOURCE.server, `the process that looks names up ended (${why}) and is replaced`)
  }

  #settle(lookup: Lookup, answer: NameAnswer): void {
    clearTimeout(lookup.patience)
    this.#lookups.delete(keyOf(lookup.question))
    for (const asker of lookup.askers) asker.postMessage(answer)
  }
}
