const CONFIRMED = 0
const DROPPED = 1
const FAILING = 2
const WORDS = 3

/**
 * What a thread and its supervisor have to know of each other about records of the audit, in memory that they share: the
 * thread must not wait for an answer, and the supervisor reads what a thread that hangs has counted.
 */
export class AuditWindow {
  readonly #words: Int32Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4 * WORDS)) {
    this.#words = new Int32Array(shared)
  }

  /** Bytes of records that the supervisor has done with, ever; modulo 2³². */
  get confirmed(): number {
    return Atomics.load(this.#words, CONFIRMED)
  }

  confirm(bytes: number): void {
    Atomics.add(this.#words, CONFIRMED, bytes)
  }

  /** A record was lost in the thread. */
  drop(): void {
    Atomics.add(this.#words, DROPPED, 1)
  }

  /** How many were lost since the last time. */
  takeDropped(): number {
    return Atomics.exchange(this.#words, DROPPED, 0)
  }

  /** Records cannot be written. */
  get failing(): boolean {
    return Atomics.load(this.#words, FAILING) !== 0
  }

  set failing(yes: boolean) {
    Atomics.store(this.#words, FAILING, yes ? 1 : 0)
  }
}

/** Of some of the lines, as they count here. */
export function bytesOf(lines: readonly string[], from = 0, to = lines.length): number {
  let bytes = 0
  for (let at = from; at < to; at++) bytes += Buffer.byteLength(lines[at]!) + 1
  return bytes
}
