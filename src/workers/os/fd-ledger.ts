import { close, EMFILE } from './libc.js'
import { createdThread, createThread, functionAddress, threadPlace, type NativeThread } from './native-thread.js'

/**
 * Which thread owns which raw descriptor, in memory that all threads share. Descriptors that Node has not wrapped
 * outlive a thread that dies, so somebody must know them: the supervisor reads the dead thread's entries here, hands
 * connections that it had not taken up yet to another thread, and closes the rest.
 *
 * One word a descriptor: 0, or the owner's number (from 1) with `ADOPTED` set once the owner has taken it up, and
 * `FOREIGN` if it was received from a peer. A word is cleared before the descriptor is closed, because from then on its
 * number may be somebody else's.
 *
 * A thread can be terminated wherever a function of JavaScript begins or a loop turns, and in `Atomics` too. Words are
 * therefore written plainly, with nothing between that and what the system is asked for: what is open and not entered
 * would never be closed. Nobody reads a thread's words before its end was reported, so nobody reads old ones.
 */
const ADOPTED = 0x4000_0000
const FOREIGN = 0x2000_0000
/** More descriptors than a process is ever allowed are not worth memory: those above are not tracked. */
export const MAX_FD = 1 << 20

/** What `opened` returns where a descriptor must be left to others. */
export const NO_ROOM = -EMFILE

const closeAddress = functionAddress('close')

export class FdLedger {
  readonly #owners: Int32Array

  /** `own`: descriptors that are opened here have numbers below this. */
  constructor(
    readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4 * MAX_FD),
    readonly own = Infinity
  ) {
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
    if (fd < this.own) return fd
    this.close(fd)
    return NO_ROOM
  }

  /** The owner has taken up a descriptor that was opened elsewhere. */
  adopt(fd: number, owner: number): void {
    if (fd < MAX_FD) this.#owners[fd] = owner | ADOPTED
  }

  /** The owner has received a descriptor from a peer. */
  adoptForeign(fd: number, owner: number): void {
    if (fd < MAX_FD) this.#owners[fd] = owner | ADOPTED | FOREIGN
  }

  close(fd: number): void {
    if (fd < MAX_FD) this.#owners[fd] = 0
    close(fd)
  }

  /** As `close`, in a native thread. Returns 0, and has changed nothing, if there can be no further thread. */
  closeInThread(fd: number): NativeThread {
    const word = this.#owners[fd] ?? 0
    if (fd < MAX_FD) this.#owners[fd] = 0
    if (createThread(threadPlace.thread, threadPlace.attributes, closeAddress, fd) === 0) return createdThread()
    if (fd < MAX_FD) this.#owners[fd] = word
    return 0
  }

  /** Whether `owner` was given the descriptor and has not taken it up. */
  isGiven(fd: number, owner: number): boolean {
    return fd < MAX_FD && this.#owners[fd] === owner
  }

  /** Whether `owner` has it, taken up or not, and opened or accepted it itself. */
  isOwn(fd: number, owner: number): boolean {
    return fd < MAX_FD && (this.#owners[fd]! & ~ADOPTED) === owner
  }

  /** Whatever a dead thread had taken up; it is nobody's from now on. */
  takeAdopted(owner: number): { fd: number; foreign: boolean }[] {
    const adopted: { fd: number; foreign: boolean }[] = []
    for (let fd = 0; fd < MAX_FD; fd++) {
      const word = this.#owners[fd]!
      if ((word & ~FOREIGN) !== (owner | ADOPTED)) continue
      this.#owners[fd] = 0
      adopted.push({ fd, foreign: (word & FOREIGN) !== 0 })
    }
    return adopted
  }
}
