import type { FdLedger } from '../os/fd-ledger.js'
import { errno, errorText, fcntl, makePipe, read, splice } from '../os/libc.js'

const F_SETPIPE_SZ = 1031
const SPLICE_F_NONBLOCK = 2
/** Each page that a sender's bytes stand in takes a slot: room for more of them than one packet has. */
const PIPE_BYTES = 1024 * 1024

/**
 * A pipe by which the kernel hands bytes from one socket to another without copying them. One a thread: between two
 * uses it is empty. It is made when it is first needed.
 */
export class Conduit {
  #ends: readonly [number, number] | undefined
  #left = 0

  constructor(
    readonly ledger: FdLedger,
    readonly owner: number
  ) {}

  /** Bytes that the other socket has not taken: to be fetched before the next use. */
  get left(): number {
    return this.#left
  }

  /** Returns how many bytes, of at most `most`, have left the socket `from`: 0 at its end, or -1 with errno. */
  move(from: number, to: number, most: number): number {
    const [readEnd, writeEnd] = (this.#ends ??= this.#open())
    const count = splice(from, 0, writeEnd, 0, most, SPLICE_F_NONBLOCK)
    this.#left = Math.max(count, 0)
    while (this.#left > 0) {
      // Why it takes no more is found out by whoever sends it what is left. (Node has SIGPIPE ignored.)
      const gone = splice(readEnd, 0, to, 0, this.#left, SPLICE_F_NONBLOCK)
      if (gone <= 0) break
      this.#left -= gone
    }
    return count
  }

  /** Puts what is left at `address`, where there must be room for it. Returns how many bytes that are. */
  fetch(address: number): number {
    const count = this.#left === 0 ? 0 : read(this.#ends![0], address, this.#left)
    if (count !== this.#left) throw new Error(`${this.#left} bytes in a pipe: ${errorText(errno())}`)
    this.#left = 0
    return count
  }

  close(): void {
    for (const end of this.#ends ?? []) this.ledger.close(end)
    this.#ends = undefined
  }

  #open(): readonly [number, number] {
    const ends = makePipe()
    for (const end of ends) this.ledger.adopt(end, this.owner)
    // Where the system allows no more, it moves less at a time.
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES)
    return ends
  }
}
