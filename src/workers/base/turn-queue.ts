/** How long a queue may keep its thread in one turn of the event loop, in milliseconds; one piece of work goes in any case. */
const SHARE_MS = 2

export interface Piece {
  /** Does it. Must not throw. */
  step(): void
}

/** Work in short pieces that wait for each other, so that what else the thread has to do goes on in between. */
export class TurnQueue {
  #pieces: Piece[] = []
  /** The first that waits. Those before it are done. */
  #next = 0

  add(piece: Piece): void {
    if (this.#pieces.push(piece) === 1) setImmediate(() => this.#turn())
  }

  /**
   * Work that pauses after each of its pieces. Resolves with what it returns. Fails with what it throws, or with the
   * reason why it is not wanted any more.
   */
  run<T>(work: Iterator<void, T>, unwanted: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        try {
          unwanted.throwIfAborted()
          const { done, value } = work.next()
          if (done === true) resolve(value)
          else this.add(piece)
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      }
      const piece = { step }
      this.add(piece)
    })
  }

  #turn(): void {
    const end = performance.now() + SHARE_MS
    do this.#pieces[this.#next++]!.step()
    while (this.#next < this.#pieces.length && performance.now() < end)
    this.#pieces.splice(0, this.#next)
    this.#next = 0
    if (this.#pieces.length > 0) setImmediate(() => this.#turn())
  }
}
