import { HEADER_BYTES } from '../../protocol/header.js'
import type { LastHeard } from '../os/last-heard.js'

/** A client that is not in yet, as the supervisor sees it: when it was last heard, and whether it is the broker's turn. */
export class Newcomer {
  #bytes = 0
  #owed = false

  /** `takenAt`: when the thread took it up, by the thread's clock. */
  constructor(
    readonly lastHeard: LastHeard,
    readonly fd: number,
    readonly takenAt: number
  ) {}

  /** True when with these bytes the first header is complete, once. */
  completesHeader(bytes: number): boolean {
    const before = this.#bytes
    this.#bytes += bytes
    return before < HEADER_BYTES && this.#bytes >= HEADER_BYTES
  }

  hear(): void {
    if (!this.#owed) this.lastHeard.hear(this.fd)
  }

  /** A call of its own is looked into elsewhere: by polkit, or the SASL thread. */
  owe(): void {
    this.#owed = true
    this.lastHeard.owe(this.fd)
  }

  answer(): void {
    this.#owed = false
    this.lastHeard.hear(this.fd)
  }

  isIn(): void {
    this.lastHeard.end(this.fd)
  }
}
