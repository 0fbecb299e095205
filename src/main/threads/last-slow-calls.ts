import type { SlowCall } from '../../workers/thread/slow-call.js'

const MOST = 200

/** The last calls that took long, for those who look at them. */
export class LastSlowCalls {
  readonly #calls: SlowCall[] = []

  add(call: SlowCall): void {
    if (this.#calls.push(call) > MOST) this.#calls.shift()
  }

  /** The oldest first. */
  get all(): readonly SlowCall[] {
    return this.#calls
  }
}
