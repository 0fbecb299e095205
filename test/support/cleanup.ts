/**
 * What a suite started, to be undone in reverse order. Register each thing at once when it has started, and call
 * `run` in the suite's `after` hook: mocha runs that hook also when a test or the `before` hook has failed.
 */
export class Cleanup {
  readonly #undo: (() => Promise<unknown>)[] = []

  defer(undo: () => Promise<unknown>): void {
    this.#undo.push(undo)
  }

  /** Undoes everything, even if one step fails; the first failure is thrown at the end. */
  async run(): Promise<void> {
    const failures: unknown[] = []
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        await undo()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
