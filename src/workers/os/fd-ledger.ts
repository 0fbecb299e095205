import { close } from './libc.js'

/**
 * Which thread owns which raw descriptor, in memory that all threads share. Descriptors that Node has not wrapped
 * outlive a thread that dies, so somebody must know them: the supervisor reads the dead thread's entries here, hands
 * connections that it had not taken up yet to another thread, and closes the rest.
 *
 * One word a descriptor: 0, or the owner's number (from 1) with `ADOPTED` set once the owner has taken it up. A word is
 * cleared before the descriptor is closed, because from then on its number may be somebody else's.
 *
 * A thread can be terminated wherever a function of JavaScript begins or a loop turns, and in `Atomics` too. Words are
 * therefore written plainly, with nothing between that and what the system is asked for: what is open and not entered
 * would never be closed. Nobody reads a thread's words before its end was reported, so nobody reads old ones.
 */
const ADOPTED = 0x4000_0000
/** More descriptors than a process is ever allowed are not worth memory: those above are not tracked. */
const MAX_FD = 1 << 20

export class FdLedger {
  readonly #owners: Int32Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4 * MAX_FD)) {
    this.#owners = new Int32Array(shared)
  }

  /** The supervisor gives `fd` to a thread that does not know of it yet. */
  give(fd: number, owner: number): void {
    if (fd < MAX_FD) this.#owners[fd] = owner
  }

  /** Enters what `open` returns, a descriptor or a negative number, and returns it. */
  opened(owner: number, open: () => number): number {
    const fd = open()
    if (fd >= 0 && fd < MAX_FD) this.#owners[fd] = owner | ADOPTED
    return fd
  }

  /** The owner has taken up a descriptor that was opened elsewhere. */
  adopt(fd: number, owner: number): void {
    if (fd < MAX_FD) this.#owners[fd] = owner | ADOPTED
  }

  close(fd: number): void {
    if (fd < MAX_FD) this.#owners[fd] = 0
    close(fd)
  }

  /** Whether `owner` was given the descriptor and has not taken it up. */
  isGiven(fd: number, owner: number): boolean {
    return fd < MAX_FD && this.#owners[fd] === owner
  }

  /** Closes whatever a dead thread had taken up. Returns how many descriptors that were. */
  closeAdopted(owner: number): number {
    let closed = 0
    for (let fd = 0; fd < MAX_FD; fd++) {
      if (this.#owners[fd] !== (owner | ADOPTED)) continue
      this.close(fd)
      closed++
    }
    return closed
  }
}
