import type { Closable } from '../base/clock.js'

/** What the clients of one thread that have opened nothing may hold together, in bytes. */
const MOST_BYTES = 32 * 1024 * 1024

/**
 * Counts the memory that waits for clients which have not opened a connection, and may not even have logged in: frames
 * that are not complete. Each is bounded, but there may be thousands of them. When it is too much, whoever holds most
 * loses its connection.
 */
export class UnopenedMemory {
  readonly #holders = new Map<Closable, number>()
  #total = 0

  constructor(readonly most = MOST_BYTES) {}

  get total(): number {
    return this.#total
  }

  /** `holder` has so many bytes from now on. */
  note(holder: Closable, bytes: number): void {
    this.#total += bytes - (this.#holders.get(holder) ?? 0)
    if (bytes === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, bytes)
    while (this.#total > this.most) this.#closeLargest()
  }

  #closeLargest(): void {
    let largest: Closable | undefined
    let most = 0
    for (const [holder, bytes] of this.#holders) {
      if (bytes <= most) continue
      largest = holder
      most = bytes
    }
    // Not left to the holder, which may be closed already.
    this.#holders.delete(largest!)
    this.#total -= most
    largest!.close('too much memory is held by clients that have opened nothing', 'client-memory')
  }
}
