/** Connections that take leave of their daemons at a time. Beyond that they are simply closed. */
const MOST = 1000

/** Counts the driver connections of a thread that their clients need no more, and that end in order. */
export class Leaving {
  #size = 0

  /** `changed`: one is gone. */
  constructor(readonly changed: () => void) {}

  get size(): number {
    return this.#size
  }

  /** How many more there can be. */
  get room(): number {
    return MOST - this.#size
  }

  /** False if there is no room for one more. */
  enter(): boolean {
    if (this.room <= 0) return false
    this.#size++
    return true
  }

  readonly left = (): void => {
    this.#size--
    this.changed()
  }
}
