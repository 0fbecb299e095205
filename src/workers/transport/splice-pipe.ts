import type { FdLedger } from '../os/fd-ledger.js'
import { errno, errorText, fcntl, makePipe, read, splice } from '../os/libc.js'

const F_SETPIPE_SZ = 1031
const SPLICE_F_NONBLOCK = 2
/** Each page that a sender's bytes stand in takes a slot: room for more of them than one packet has. */
const PIPE_BYTES = 1024 * 1024

/**
 * A pipe by which the kernel hands bytes from one socket to another without copying them. One a thread: between two
 * uses it is empty. It is made with the thread: later there might be no descriptors for it, in the middle of an upload.
 */
export class SplicePipe {
  readonly #readEnd: number
  readonly #writeEnd: number
  #left = 0

  constructor(
    readonly ledger: FdLedger,
    owner: number
  ) {
    const [readEnd, writeEnd] = makePipe()
    ledger.adopt(readEnd, owner)
    ledger.adopt(writeEnd, owner)
    // Where the system allows no more, it moves less at a time.
    fcntl(writeEnd, F_SETPIPE_SZ, PIPE_BYTES)
    this.#readEnd = readEnd
    this.#writeEnd = writeEnd
  }

  /** Bytes that the other socket has not taken: to be fetched before the next use. */
  get left(): number {
    return this.#left
  }

  /** Returns how many bytes, of at most `most`, have left the socket `from`: 0 at its end, or -1 with errno. */
  move(from: number, to: number, most: number): number {
    const count = splice(from, 0, this.#writeEnd, 0, most, SPLICE_F_NONBLOCK)
    this.#left = Math.max(count, 0)
    while (this.#left > 0) {
      // Why it takes no more is found out by whoever sends it what is left. (Node has SIGPIPE ignored.)
      const gone = splice(this.#readEnd, 0, to, 0, this.#left, SPLICE_F_NONBLOCK)
      if (gone <= 0) break
      this.#left -= gone
    }
    return count
  }

  /** Puts what is left at `address`, where there must be room for it. Returns how many bytes that are. */
  fetch(address: number): number {
    const count = this.#left === 0 ? 0 : read(this.#readEnd, address, this.#left)
    if (count !== this.#left) throw new Error(`${this.#left} bytes in a pipe: ${errorText(errno())}`)
    this.#left = 0
    return count
  }

  close(): void {
    this.ledger.close(this.#readEnd)
    this.ledger.close(this.#writeEnd)
  }
}
