import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { FdLedger } from '../workers/os/fd-ledger.js'
import type { TestDriverTask } from '../workers/test-driver-thread.js'
import { SOURCE } from '../workers/log.js'
import type { Logger } from './logging.js'

const RESTART_PAUSE_MS = 1000
/** Its number in the ledger of descriptors; actor threads count from 1. */
const OWNER = 0x3fff_ffff

/**
 * The embedded test driver, on a thread of its own: to the broker it is a driver daemon like any other, behind a UNIX
 * socket. If its thread dies it is started again, with its hypervisors as they are at the beginning.
 */
export class TestDriverHost {
  #pool: Piscina | undefined
  #port: MessagePort | undefined
  #stopping = false

  constructor(
    readonly socketPath: string,
    readonly ledger: FdLedger,
    readonly logger: Logger
  ) {}

  /** Resolves when its socket is there. */
  async start(): Promise<void> {
    this.#pool = new Piscina({
      filename: new URL('../workers/test-driver-thread.js', import.meta.url).href,
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Infinity,
      atomics: 'disabled',
      recordTiming: false
    })
    await this.#run()
    this.logger.info(SOURCE.testDriver, `serving test:///default on ${this.socketPath}`)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#port?.postMessage('end')
    await this.#pool?.close()
    await this.#pool?.destroy()
  }

  #run(): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const { socketPath, ledger } = this
    const task: TestDriverTask = { socketPath, ledger: ledger.shared, owner: OWNER, port: port2 }
    const ended = this.#pool!.run(task, { transferList: [port2] })
    return new Promise((resolve, reject) => {
      let ready = false
      port1.on('message', (message: 'ready' | { failure: string }) => {
        if (message !== 'ready') return this.logger.error(SOURCE.testDriver, message.failure)
        ready = true
        resolve()
      })
      const gone = (error?: unknown): void => {
        port1.close()
        this.ledger.closeAdopted(OWNER)
        if (!ready) return reject(error instanceof Error ? error : new Error('the test driver ended'))
        if (!this.#stopping) this.#restart(error)
      }
      ended.then(() => gone(), gone)
    })
  }

  #restart(error: unknown): void {
    this.logger.error(SOURCE.testDriver, `the embedded test driver died: ${String(error)}`)
    setTimeout(() => {
      if (!this.#stopping) this.#run().catch((again: unknown) => this.#restart(again))
    }, RESTART_PAUSE_MS).unref()
  }
}
