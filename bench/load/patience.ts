/** Notices that nothing has happened for a long time: something must end an order that is never answered. */
export class Patience {
  #last = performance.now()
  readonly #timer: NodeJS.Timeout

  constructor(ms: number, over: () => void) {
    this.#timer = setInterval(() => {
      if (performance.now() - this.#last < ms) return
      this.end()
      over()
    }, ms / 10)
  }

  /** Something has happened. */
  renew(): void {
    this.#last = performance.now()
  }

  end(): void {
    clearInterval(this.#timer)
  }
}

/** No order takes longer than this to show any progress, unless the other end is stuck. */
export const STUCK_MS = 20_000
