/** @typedef {import('../../src/main/page/live-state.js').LiveState} LiveState */

const EACH_MS = 1000
const PATIENCE_MS = 4000
const MOST_PAUSE_MS = 5000

/** Asks for the state once a second, while somebody can see it. */
export class Feed {
  paused = false
  #query
  #told
  #failed
  #failures = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  #asking = false
  /** It is to be asked again as soon as the answer is there. */
  #again = false

  /**
   * @param {() => URLSearchParams} query
   * @param {(state: LiveState) => void} told
   * @param {(why: string) => void} failed
   */
  constructor(query, told, failed) {
    this.#query = query
    this.#told = told
    this.#failed = failed
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.ask()
    })
  }

  /** At once, also if it is paused. */
  ask() {
    if (this.#asking) this.#again = true
    else void this.#ask()
  }

  async #ask() {
    clearTimeout(this.#timer)
    this.#asking = true
    const begin = performance.now()
    try {
      const options = /** @type {const} */ ({ cache: 'no-store', credentials: 'same-origin', redirect: 'error' })
      const response = await fetch(`/api/state?${this.#query()}`, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) })
      if (!response.ok) throw new Error(`it answers ${response.status}${response.status === 401 ? ': load this page again to log in' : ''}`)
      /** @type {unknown} */
      const state = await response.json()
      this.#told(/** @type {LiveState} */ (state))
      this.#failures = 0
    } catch (error) {
      this.#failures++
      this.#failed(error instanceof Error && error.message.startsWith('it ') ? error.message : 'it does not answer')
    }
    this.#asking = false
    if (this.#again) {
      this.#again = false
      return this.ask()
    }
    const pause = this.#failures === 0 ? EACH_MS - (performance.now() - begin) : Math.min(MOST_PAUSE_MS, EACH_MS * this.#failures)
    this.#timer = setTimeout(() => {
      if (!this.paused && !document.hidden) void this.#ask()
    }, Math.max(100, pause))
  }
}
