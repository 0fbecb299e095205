/** Lets so many through in each window of time, and counts the rest. */
export class Few {
  #until = -Infinity
  #through = 0
  #rest = 0

  constructor(
    readonly most: number,
    readonly windowMs: number
  ) {}

  /** Whether one more gets through; if not it is counted. `now` is in milliseconds, of any clock. */
  lets(now: number): boolean {
    if (now >= this.#until) {
      this.#until = now + this.windowMs
      this.#through = 0
    }
    const lets = this.#through < this.most
    if (lets) this.#through++
    else this.#rest++
    return lets
  }

  /** How long the window lasts, in milliseconds; 0: it is over. */
  left(now: number): number {
    return Math.max(0, this.#until - now)
  }

  /** How many were counted; they count no more. */
  takeRest(): number {
    const rest = this.#rest
    this.#rest = 0
    return rest
  }
}
