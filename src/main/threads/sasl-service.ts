import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import type { SaslIntroduction, SaslListener, SaslListeners, SaslReadiness, SaslRemark } from '../../workers/sasl/messages.js'
import { openedListeners } from '../config/check.js'
import type { Config } from '../config/load.js'

/** A thread that dies at once again and again is not replaced faster than this. */
const RESTART_PAUSE_MS = 500

/** Takes what is worth a line in the log. */
export type Tell = (level: SaslRemark['level'], message: string) => void

/** The library is missing or does not start. */
export class SaslUnavailable extends Error {}

/** Keeps the one thread that calls libsasl2. */
export class SaslService {
  #worker: Worker
  readonly #listeners: SaslListeners
  #stopped = false
  /** The thread was replaced: whoever has a port needs a new one. */
  onRestart: (why: string) => void = () => {}

  private constructor(worker: Worker, listeners: SaslListeners) {
    this.#worker = worker
    this.#listeners = listeners
    this.#watch()
  }

  /** `tell`: which mechanisms there are, and why others are not offered. Rejects with SaslUnavailable. */
  static async start(config: Config, tell: Tell): Promise<SaslService> {
    const listeners = saslListeners(config)
    const { worker, remarks } = await startThread(listeners)
    for (const { level, message } of remarks) tell(level, message)
    return new SaslService(worker, listeners)
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
      this.#worker = (await startThread(this.#listeners)).worker
    } catch (error) {
      return void setTimeout(() => void this.#restart((error as Error).message), 10 * RESTART_PAUSE_MS).unref()
    }
    this.#watch()
    this.onRestart(why)
  }
}

/** Only plain TCP needs encryption by SASL; all others are offered the same. */
function saslListeners(config: Config): SaslListeners {
  const keys = openedListeners(config).flatMap(([key, method]) => (method === 'sasl' ? [key] : []))
  const plain = keys.filter(key => key === 'auth_tcp')
  const secure = keys.filter(key => key !== 'auth_tcp')
  const listeners: SaslListener[] = [
    { keys: plain, secure: false, minSsf: config.tcpMinSsf },
    { keys: secure, secure: true, minSsf: 0 }
  ]
  return { listeners: listeners.filter(({ keys }) => keys.length > 0) }
}

interface Started {
  worker: Worker
  remarks: readonly SaslRemark[]
}

async function startThread(listeners: SaslListeners): Promise<Started> {
  const worker = new Worker(new URL('../../workers/sasl/sasl-thread.js', import.meta.url), { workerData: listeners })
  const readiness = await new Promise<SaslReadiness>(resolve => {
    worker.once('message', resolve)
    worker.once('error', (error: Error) => resolve({ ready: false, why: error.message }))
    worker.once('exit', () => resolve({ ready: false, why: 'its thread ended' }))
  })
  worker.removeAllListeners('error').removeAllListeners('exit')
  if (readiness.ready) return { worker, remarks: readiness.remarks }
  await worker.terminate()
  throw new SaslUnavailable(readiness.why)
}
