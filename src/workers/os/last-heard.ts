import { MAX_FD } from './fd-ledger.js'

/**
 * When each client that is not in yet was last heard, in memory that all threads share: the supervisor looks here whom to
 * close when places are short, and asks nobody. Clients that are in cost nothing.
 *
 * One word a descriptor: 0 for all others, else a time in tenths of a second since the machine started (from 1), with
 * SPOKEN when the client has sent anything, or OWED while it is the broker's turn. The thread that serves the
 * client writes it; the supervisor does so before that thread knows of the client.
 */
const NOBODY = 0
const OWED = -1
const SPOKEN = 0x4000_0000
const TIME = SPOKEN - 1
const TICK_MS = 100

/** Each thread's own clock begins when the thread does. */
const sinceStart = Number(process.hrtime.bigint() / 1_000_000n) - performance.now()
/** Around once in three years. */
const ticks = (): number => Math.floor((sinceStart + performance.now()) / TICK_MS) % TIME

export class LastHeard {
  readonly #words: Int32Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4 * MAX_FD)) {
    this.#words = new Int32Array(shared)
  }

  /** A client that is not in yet gets the descriptor. */
  begin(fd: number): void {
    if (fd < MAX_FD) this.#words[fd] = ticks() + 1
  }

  /** It has sent something. */
  hear(fd: number): void {
    if (fd < MAX_FD) this.#words[fd] = (ticks() + 1) | SPOKEN
  }

  /** It waits for an answer of the broker's. */
  owe(fd: number): void {
    if (fd < MAX_FD) this.#words[fd] = OWED
  }

  /** It is in. */
  end(fd: number): void {
    if (fd < MAX_FD) this.#words[fd] = NOBODY
  }

  /** For how long, at the least, the descriptor's client has been silent, or undefined if it is in. */
  silence(fd: number): { silentMs: number; hasSpoken: boolean } | undefined {
    const word = fd < MAX_FD ? this.#words[fd]! : NOBODY
    if (word === NOBODY) return undefined
    if (word === OWED) return { silentMs: 0, hasSpoken: true }
    const passed = (ticks() + 1 - (word & TIME) + TIME) % TIME
    return { silentMs: TICK_MS * Math.max(0, passed - 1), hasSpoken: (word & SPOKEN) !== 0 }
  }

  /** For whoever does not serve the client: it is heard, unless its word changes in this moment. */
  hearFor(fd: number): void {
    const word = fd < MAX_FD ? this.#words[fd]! : NOBODY
    if (word > NOBODY) Atomics.compareExchange(this.#words, fd, word, (ticks() + 1) | SPOKEN)
  }
}
