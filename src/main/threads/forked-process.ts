import { fork, type ChildProcess, type ForkOptions } from 'node:child_process'
import type { Run } from './keeper.js'

/** A process of ours that a keeper keeps, and that is spoken with by messages. */
export class ForkedProcess implements Run {
  ready?: Promise<void>
  readonly ended: Promise<string>
  /** Told what it says. */
  onMessage: (message: unknown) => void = () => {}
  /** Undefined if there was no process to be had. */
  readonly #child: ChildProcess | undefined

  constructor(script: URL, options: ForkOptions) {
    try {
      const child = fork(script, options)
      this.#child = child
      child.on('message', message => this.onMessage(message))
      this.ended = new Promise(resolve => {
        child.once('exit', (code, signal) => resolve(signal ?? `exit status ${code}`))
        // Others than of the start are followed by the exit, or concern one message.
        child.on('error', error => child.pid === undefined && resolve(error.message))
      })
    } catch (error) {
      this.ended = Promise.resolve((error as Error).message)
    }
  }

  /** Whether what is sent has a chance to arrive. */
  get isConnected(): boolean {
    return this.#child?.connected === true
  }

  /** That it died before it could read this is told by its end. */
  send(message: object): void {
    if (this.isConnected) this.#child!.send(message, () => undefined)
  }

  /** It ends when nobody speaks with it. */
  end(): void {
    if (this.isConnected) this.#child!.disconnect()
  }

  kill(): void {
    this.#child?.kill('SIGKILL')
  }
}
