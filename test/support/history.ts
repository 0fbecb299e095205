/**
 * What clients have written to registers and read from them, in the order in which they saw it. Each register takes rising
 * numbers, one write at a time. No read may bring less than a write had written, or another read had brought, that was over
 * before it began: then it was answered with something old. Nor may it bring what nobody has begun to write.
 */
export class History {
  operations = 0
  readonly #begun: number[]
  /** What whoever reads from now on has to find, at least. */
  readonly #least: number[]
  readonly #writing: boolean[]

  /** All of them hold 0. */
  constructor(readonly registers: number) {
    this.#begun = Array.from({ length: registers }, () => 0)
    this.#least = [...this.#begun]
    this.#writing = this.#begun.map(() => false)
  }

  isBeingWritten(register: number): boolean {
    return this.#writing[register]!
  }

  /** A write begins: of this number. */
  write(register: number): number {
    if (this.#writing[register]) throw new Error(`two write to register ${register} at a time`)
    this.#writing[register] = true
    return ++this.#begun[register]!
  }

  /** It has ended well, or, if `done` is false, in a way that tells nothing. */
  written(register: number, value: number, done = true): void {
    this.#writing[register] = false
    if (done) this.#known(register, value)
  }

  /** A read begins. Returns the least that it has to bring. */
  read(register: number): number {
    return this.#least[register]!
  }

  hasRead(register: number, least: number, value: number): void {
    if (value < least) throw new Error(`a read of register ${register} brought ${value}, though ${least} was there before it began`)
    if (value > this.#begun[register]!) throw new Error(`a read of register ${register} brought ${value}, which nobody has written`)
    this.#known(register, value)
  }

  #known(register: number, value: number): void {
    this.operations++
    this.#least[register] = Math.max(this.#least[register]!, value)
  }
}
