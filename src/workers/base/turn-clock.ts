/** So often a reading is used: what is done meanwhile takes some hundred microseconds at most. */
const USES = 8

/**
 * The time for calls, in milliseconds of performance.now. Reading it costs as much as counting a call, so that what is ready
 * in one poll has it in common, as far as few calls go.
 */
export class TurnClock {
  #now = 0
  /** Uses that are left of the last reading; 0 between polls. */
  #left = 0
  #within = false

  get now(): number {
    if (this.#left > 0) {
      this.#left--
      return this.#now
    }
    this.#now = performance.now()
    if (this.#within) this.#left = USES - 1
    return this.#now
  }

  /** Those that are ready are looked at from now on, one after the other. */
  begin(): void {
    this.#within = true
    this.#left = 0
  }

  /** All have been looked at. */
  end(): void {
    this.#within = false
    this.#left = 0
  }
}
