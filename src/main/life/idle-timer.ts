/** Has the broker end when nobody has been connected for a while. */
export class IdleTimer {
  #seconds: number
  #idle = false
  #timer: NodeJS.Timeout | undefined

  /** `seconds`: 0 is never. It begins with the first `idle`. */
  constructor(
    seconds: number,
    readonly act: () => void
  ) {
    this.#seconds = seconds
  }

  /** A while that has begun begins anew. */
  set seconds(seconds: number) {
    this.#seconds = seconds
    this.#set()
  }

  /** Whether nobody is connected. */
  set idle(idle: boolean) {
    this.#idle = idle
    this.#set()
  }

  #set(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#idle && this.#seconds > 0 ? setTimeout(this.act, 1000 * this.#seconds) : undefined
  }
}
