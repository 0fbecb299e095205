/** Somebody who waits for a driver daemon to come back. */
export interface Waiter {
  /** It is back. To be seen to in so many milliseconds: all at once would be too much for it. */
  back(inMs: number): void
}

/** How many are told in one go, and how far apart goes are, in milliseconds. */
const GO = 64
const GO_MS = 100

/**
 * Who waits for which driver daemon, by its socket. The first who reaches it again tells the others of this thread, so
 * that nobody waits for the end of a pause of its own.
 */
export class Comebacks {
  readonly #waiting = new Map<string, Set<Waiter>>()

  wait(path: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(path)
    if (waiters === undefined) this.#waiting.set(path, new Set([waiter]))
    else waiters.add(waiter)
  }

  forget(path: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(path)
    if (waiters?.delete(waiter) === true && waiters.size === 0) this.#waiting.delete(path)
  }

  /** Somebody has opened a connection there. */
  seen(path: string): void {
    const waiters = this.#waiting.get(path)
    if (waiters === undefined) return
    this.#waiting.delete(path)
    let told = 0
    for (const waiter of waiters) waiter.back(GO_MS * Math.floor(told++ / GO))
  }
}
