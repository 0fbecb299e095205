import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Call, Order, Outcome, Report, Target } from './orders.js'

const program = new URL('./load-process.js', import.meta.url).pathname

/** A crowd of clients in a process of its own. One order at a time; figures of the process are the crowd's cost. */
export class Load {
  readonly #child: ChildProcess
  #waiting: { resolve: (outcome: Outcome) => void; reject: (error: Error) => void } | undefined

  constructor() {
    this.#child = fork(program, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (report: Report) => {
      const waiting = this.#waiting
      this.#waiting = undefined
      if ('done' in report) waiting?.resolve(report.done)
      else waiting?.reject(new Error(`load: ${report.error}`))
    })
    this.#child.on('exit', code => this.#waiting?.reject(new Error(`the load process ended (${String(code)})`)))
  }

  get pid(): number {
    return this.#child.pid!
  }

  order(order: Order): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.send(order)
    })
  }

  /** Resolves when the process has started. */
  async ready(): Promise<void> {
    await this.order({ do: 'close' })
  }

  /** Throws if a single client was refused. */
  async open(target: Target, clients: number, parallel = 64): Promise<Outcome> {
    const outcome = await this.order({ do: 'open', target, clients, parallel })
    if (outcome.failures > 0) {
      throw new Error(`${outcome.failures} of ${clients} clients were not opened: ${outcome.firstFailure}`)
    }
    return outcome
  }

  /** The reply's body. Throws on an error reply. */
  async call(call: Call): Promise<Uint8Array> {
    const outcome = await this.order({ do: 'call', call })
    if (outcome.failures > 0 || outcome.reply === undefined) throw new Error(outcome.firstFailure)
    return outcome.reply
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.disconnect()
    await gone
  }
}
