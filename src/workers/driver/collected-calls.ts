/** Bytes of calls that a thread keeps for guests until they are whole, all together. */
const MOST_BYTES = 32 * 1024 * 1024

/** Calls for shared connections that have not come whole, by the lengths that they announce. */
export class CollectedCalls {
  #bytes = 0

  constructor(readonly most = MOST_BYTES) {}

  /** Whether there is room for one more; then it is counted until `done`. */
  begin(bytes: number): boolean {
    if (this.#bytes + bytes > this.most) return false
    this.#bytes += bytes
    return true
  }

  done(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** The one call of a guest that has not come whole, if there is one. */
export class CollectedCall {
  readonly #all: CollectedCalls
  #bytes = 0

  constructor(all: CollectedCalls) {
    this.#all = all
  }

  /** False: the thread keeps too much of that already. */
  begin(bytes: number): boolean {
    if (this.#bytes > 0) return true
    if (!this.#all.begin(bytes)) return false
    this.#bytes = bytes
    return true
  }

  /** It has come, or never will. */
  done(): void {
    if (this.#bytes > 0) this.#all.done(this.#bytes)
    this.#bytes = 0
  }
}
