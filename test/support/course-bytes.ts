import type { MemoryTransport } from './memory-transport.js'
import type { Random } from './random.js'

/** What one peer has sent and the broker has not read, as in a socket. */
export class CourseBytes {
  #waiting: Buffer[] = []

  constructor(
    readonly transport: MemoryTransport,
    readonly random: Random
  ) {}

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  push(bytes: Buffer): void {
    this.#waiting.push(bytes)
  }

  /** Comes, in one piece or in several, until it is read no more. `parts`: perhaps not to its end. */
  flush(parts = false): void {
    const { transport, random } = this
    if (random.chance(0.5)) this.#waiting = [Buffer.concat(this.#waiting)]
    while (!this.isEmpty && !transport.paused && !transport.closed) {
      const [first] = this.#waiting
      const cut = parts && this.#waiting.length === 1 ? random.integer(0, first!.length) : first!.length
      if (cut < first!.length) this.#waiting[0] = first!.subarray(cut)
      else this.#waiting.shift()
      if (cut > 0) transport.receive(first!.subarray(0, cut))
      if (cut < first!.length) return
    }
  }
}
