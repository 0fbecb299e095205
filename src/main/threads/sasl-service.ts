import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import type { SaslIntroduction, SaslListener, SaslListeners, SaslReadiness, SaslRemark } from '../../workers/sasl/messages.js'
import { openedListeners, type Listening } from '../config/check.js'
import { Keeper, type Run } from './keeper.js'

/** A thread that dies at once again and again is not replaced faster than this; one that cannot start … */
const RESTART_PAUSE_MS = 500
/** … is tried again after this. */
const RETRY_PAUSE_MS = 5000
/** A call of the library cannot be interrupted. */
const END_MS = 5000

/** Takes what is worth a line in the log. */
export type Tell = (kind: SaslRemark['kind'], message: string) => void

/** The library is missing or does not start. */
export class SaslUnavailable extends Error {}

/** The one thread that calls libsasl2. */
export class SaslService {
  readonly #keeper: Keeper<SaslThread>
  /** The thread was replaced: whoever has a port needs a new one. */
  onRestart: (why: string) => void = () => {}

  private constructor(listeners: SaslListeners) {
    this.#keeper = new Keeper({
      patience: END_MS,
      start: () => new SaslThread(listeners),
      pause: died => (died === undefined ? RETRY_PAUSE_MS : RESTART_PAUSE_MS),
      replaced: why => this.onRestart(why)
    })
  }

  /** `tell`: which mechanisms there are, and why others are not offered. Rejects with SaslUnavailable. */
  static async start(listening: Listening, tell: Tell): Promise<SaslService> {
    const service = new SaslService(saslListeners(listening))
    try {
      await service.#keeper.start()
    } catch (error) {
      throw new SaslUnavailable((error as Error).message)
    }
    for (const { kind, message } of service.#keeper.run!.remarks) tell(kind, message)
    return service
  }

  /** A way to the thread, for one actor thread. While there is none it leads nowhere; another comes with the next. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    const { run } = this.#keeper
    if (run === undefined) port1.close()
    else run.introduce(port1)
    return port2
  }

  async stop(): Promise<void> {
    await this.#keeper.stop()
  }
}

class SaslThread implements Run {
  readonly #worker: Worker
  readonly ready: Promise<void>
  readonly ended: Promise<string>
  /** Once it is ready. */
  remarks: readonly SaslRemark[] = []

  constructor(listeners: SaslListeners) {
    const worker = new Worker(new URL('../../workers/sasl/sasl-thread.js', import.meta.url), { workerData: listeners })
    this.#worker = worker
    this.ready = new Promise((resolve, reject) => {
      worker.once('message', (readiness: SaslReadiness) => {
        if (!readiness.ready) return reject(new Error(readiness.why))
        this.remarks = readiness.remarks
        resolve()
      })
    })
    this.ended = new Promise(resolve => {
      let why = 'its thread ended'
      worker.once('error', (error: Error) => (why = error.message))
      worker.once('exit', () => resolve(why))
    })
  }

  /** The other end of `port` asks from now on. */
  introduce(port: MessagePort): void {
    this.#worker.postMessage({ port } satisfies SaslIntroduction, [port])
  }

  end(): void {
    void this.#worker.terminate()
  }

  kill(): void {
    this.end()
  }
}

/** Only plain TCP needs encryption by SASL; all others are offered the same. */
function saslListeners(listening: Listening): SaslListeners {
  const keys = openedListeners(listening).flatMap(([key, method]) => (method === 'sasl' ? [key] : []))
  const plain = keys.filter(key => key === 'auth_tcp')
  const secure = keys.filter(key => key !== 'auth_tcp')
  const listeners: SaslListener[] = [
    { keys: plain, secure: false, minSsf: listening.tcpMinSsf },
    { keys: secure, secure: true, minSsf: 0 }
  ]
  return { listeners: listeners.filter(({ keys }) => keys.length > 0) }
}
