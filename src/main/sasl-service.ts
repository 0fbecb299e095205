import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import type { SaslIntroduction, SaslReadiness } from '../workers/sasl/messages.js'

/** A thread that dies at once again and again is not replaced faster than this. */
const RESTART_PAUSE_MS = 500

/** The library is missing or does not start. */
export class SaslUnavailable extends Error {}

/** Keeps the one thread that calls libsasl2. */
export class SaslService {
  #worker: Worker
  #stopped = false
  /** The thread was replaced: whoever has a port needs a new one. */
  onRestart: (why: string) => void = () => {}

  private constructor(worker: Worker) {
    this.#worker = worker
    this.#watch()
  }

  /** Rejects with SaslUnavailable. */
  static async start(): Promise<SaslService> {
    return new SaslService(await startThread())
  }

  /** A way to the thread, for one actor thread. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    this.#worker.postMessage({ port: port1 } satisfies SaslIntroduction, [port1])
    return port2
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#worker.terminate()
  }

  #watch(): void {
    let why = 'it ended'
    this.#worker.once('error', (error: Error) => (why = error.message))
    this.#worker.once('exit', () => {
      if (!this.#stopped) setTimeout(() => void this.#restart(why), RESTART_PAUSE_MS).unref()
    })
  }

  async #restart(why: string): Promise<void> {
    if (this.#stopped) return
    try {
      this.#worker = await startThread()
    } catch (error) {
      return void setTimeout(() => void this.#restart((error as Error).message), 10 * RESTART_PAUSE_MS).unref()
    }
    this.#watch()
    this.onRestart(why)
  }
}

async function startThread(): Promise<Worker> {
  const worker = new Worker(new URL('../workers/sasl/sasl-thread.js', import.meta.url))
  const readiness = await new Promise<SaslReadiness>(resolve => {
    worker.once('message', resolve)
    worker.once('error', (error: Error) => resolve({ ready: false, why: error.message }))
    worker.once('exit', () => resolve({ ready: false, why: 'its thread ended' }))
  })
  worker.removeAllListeners('error').removeAllListeners('exit')
  if (readiness.ready) return worker
  await worker.terminate()
  throw new SaslUnavailable(readiness.why)
}
