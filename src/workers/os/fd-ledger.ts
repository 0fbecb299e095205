import { close } from './libc.js'

/**
 * Which thread owns which raw descriptor, in memory that all threads share. Descriptors that Node has not wrapped
 * outlive a thread that dies, so somebody must know them: the supervisor reads the dead thread's entries here, hands
 * connections that it had not taken up yet to another thread, and closes the rest.
 *
 * One word a descriptor: 0, or the owner's number (from 1) with `ADOPTED` set once the owner has taken it up. A word is
 * cleared before the descriptor is closed, because from then on its number may be somebody else's.
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
    if (fd < MAX_FD) Atomics.store(this.#owners, fd, owner)
  }

  /** The owner has taken the descriptor up, or has opened it itself. */
  adopt(fd: number, owner: number): void {
    if (fd < MAX_FD) Atomics.store(this.#owners, fd, owner | ADOPTED)
  }

  close(fd: number): void {
    if (fd < MAX_FD) Atomics.store(this.#owners, fd, 0)
    close(fd)
  }

  /** Whether `owner` was given the descriptor and has not taken it up. */
  isGiven(fd: number, owner: number): boolean {
    return fd < MAX_FD && Atomics.load(this.#owners, fd) === owner
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
