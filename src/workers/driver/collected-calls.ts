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
