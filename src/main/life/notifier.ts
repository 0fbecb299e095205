import { UnixDatagramSender } from '../../workers/os/datagram.js'
import { EAGAIN } from '../../workers/os/libc.js'

const RETRY_MS = 50

/** Tells the service manager how this process is doing (sd_notify(3)). It never waits for its receiver. */
export class Notifier {
  readonly #sender: UnixDatagramSender
  /** Changes of state for which the receiver had no room yet. */
  readonly #waiting: string[] = []
  #timer: NodeJS.Timeout | undefined

  /** Throws a RangeError for a path that no socket can have. */
  constructor(path: string) {
    this.#sender = new UnixDatagramSender(path)
  }

  /** What must arrive, in its order. It is sent again for as long as there is no room. */
  state(lines: string): void {
    this.#waiting.push(lines)
    if (this.#timer === undefined) this.#sendWaiting()
  }

  /** What may be lost, because the next of its kind comes soon. Returns whether there was room. */
  hint(lines: string): boolean {
    return this.#timer === undefined && this.#send(lines)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#sender.close()
  }

  #sendWaiting(): void {
    this.#timer = undefined
    while (this.#waiting.length > 0) {
      if (!this.#send(this.#waiting[0]!)) return void (this.#timer = setTimeout(() => this.#sendWaiting(), RETRY_MS))
      this.#waiting.shift()
    }
  }

  /** False if it can be tried again. A receiver that is gone wants nothing more. */
  #send(lines: string): boolean {
    return this.#sender.send(Buffer.from(lines)) !== EAGAIN
  }
}
