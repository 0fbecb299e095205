import type { FdLedger } from './fd-ledger.js'
import { AT_EMPTY_PATH, AT_STATX_DONT_SYNC, Memory, SHUT_RDWR, shutdown, statx } from './libc.js'
import { hasEnded, interrupt, type NativeThread } from './native-thread.js'
import { hasUnread } from './peek.js'

const MAX_THREADS = 64
const MAX_THREADS_OF_ONE = 16
/** Started between two turns of the event loop. */
const BATCH = 16
/** A close that takes longer is not simply a matter of time: it waits for somebody. */
const YOUNG_MS = 1
const SWEEP_MS = 10
const DEFAULT_MAX_HELD = 1024

/** Those that have no number of their own. */
export const NOBODY = -1

/** What one sender has here. */
interface Sender {
  readonly number: number
  /** Received, and not yet to be closed. */
  held: number
  /** To be closed. */
  readonly waiting: number[]
  /** Threads that are closing. */
  running: number
  whenRoom: (() => void)[]
}

interface Closing {
  readonly thread: NativeThread
  readonly sender: Sender
  readonly since: number
  readonly interruptible: boolean
}

/**
 * Closes what others have sent, where nobody waits for it.
 *
 * close(2) takes as long as the sender wants: on a socket with SO_LINGER and data that its peer does not take, on a file
 * of a FUSE file system (whose server is asked on each close, not only the last), on a pipe that another thread is
 * writing to from memory that never comes. What lies unread in a UNIX socket is closed together with it, by the same
 * rules. So each is closed by a native thread of its own. A socket that lingers is made to stop with a signal, because its
 * options are its owner's, and to change them can block as well.
 *
 * One a thread, and one of the admin socket's. Everything is counted by sender, a number of which only the one who gives it
 * knows the meaning: nobody fills the table of descriptors, or keeps all the native threads to himself.
 */
export class ForeignCloser {
  readonly #senders = new Map<number, Sender>()
  /** Of what has been received and is not closed. */
  readonly #senderOf = new Map<number, Sender>()
  readonly #running: Closing[] = []
  #held = 0
  #waiting = 0
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined

  /** `maxHeld`: what the thread may hold for others: half of it in each state, and a quarter for each sender. */
  constructor(
    readonly ledger: FdLedger,
    readonly maxHeld = DEFAULT_MAX_HELD
  ) {}

  /** Descriptors have come and stand in the ledger. False if their sender has too many now, or all senders together. */
  received(descriptors: readonly number[], number: number): boolean {
    const sender = this.#sender(number)
    for (const fd of descriptors) this.#senderOf.set(fd, sender)
    sender.held += descriptors.length
    this.#held += descriptors.length
    return sender.held <= this.maxHeld / 4 && this.#held <= this.maxHeld / 2
  }

  /** Closes a descriptor that has been received, or that nobody knows what it is. */
  close(fd: number): void {
    const sender = this.#senderOf.get(fd) ?? this.#sender(NOBODY)
    if (this.#senderOf.delete(fd)) {
      sender.held--
      this.#held--
    }
    if (kindOf(fd) !== KIND.memory) return this.#enqueue(fd, sender)
    this.ledger.close(fd)
    this.#forgetIdle(sender)
  }

  /** Closes a UNIX socket of ours. `number` is its peer, where that is known. */
  closeSocket(fd: number, number?: number): void {
    if (shutDown(fd)) this.closeLater(fd, number)
    else this.ledger.close(fd)
  }

  /** Closes a socket of ours in which something unread may be, or connections that nobody has accepted. */
  closeLater(fd: number, number = NOBODY): void {
    this.#enqueue(fd, this.#sender(number))
  }

  /** Closes what a thread that is dead had taken up. Returns how many descriptors that were. */
  closeAllOf(owner: number): number {
    const adopted = this.ledger.takeAdopted(owner)
    for (const { fd, foreign } of adopted) {
      if (foreign) this.close(fd)
      else this.closeSocket(fd)
    }
    return adopted.length
  }

  /** Whether more may be received from this sender, or by anybody. Asked before each read from a UNIX socket. */
  hasRoom(number = NOBODY): boolean {
    return this.#waiting === 0 || this.#mayWait(this.#senders.get(number))
  }

  /** Calls `then` as soon as there is room: now, or later. */
  whenRoom(number: number | undefined, then: () => void): void {
    if (this.hasRoom(number)) then()
    else this.#sender(number ?? NOBODY).whenRoom.push(then)
  }

  #mayWait(sender: Sender | undefined): boolean {
    return this.#waiting < this.maxHeld / 2 && (sender === undefined || sender.waiting.length < this.maxHeld / 4)
  }

  #sender(number: number): Sender {
    let sender = this.#senders.get(number)
    if (sender === undefined) {
      sender = { number, held: 0, waiting: [], running: 0, whenRoom: [] }
      this.#senders.set(number, sender)
    }
    return sender
  }

  #forgetIdle(sender: Sender): void {
    const { number, held, waiting, running, whenRoom } = sender
    if (held + waiting.length + running + whenRoom.length === 0) this.#senders.delete(number)
  }

  #enqueue(fd: number, sender: Sender): void {
    sender.waiting.push(fd)
    this.#waiting++
    this.#immediate ??= setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#immediate = undefined
    this.#sweep()
    const begun = this.#beginSome()
    for (const sender of [...this.#senders.values()]) {
      if (sender.whenRoom.length > 0 && this.#mayWait(sender)) for (const then of sender.whenRoom.splice(0)) then()
      this.#forgetIdle(sender)
    }
    this.#next(begun)
  }

  /** When to look again: soon, if it is only a matter of time until more can be closed. */
  #next(begun: number): void {
    clearTimeout(this.#timer)
    const young = performance.now() - YOUNG_MS
    if (this.#waiting > 0 && (begun === BATCH || this.#running.some(({ since }) => since > young))) {
      this.#immediate ??= setImmediate(() => this.#turn())
    } else if (this.#waiting > 0 || this.#running.length > 0) {
      this.#timer = setTimeout(() => this.#turn(), SWEEP_MS).unref()
    }
  }

  #sweep(): void {
    const patience = performance.now() - SWEEP_MS
    for (let i = this.#running.length - 1; i >= 0; i--) {
      const { thread, sender, since, interruptible } = this.#running[i]!
      if (hasEnded(thread)) {
        sender.running--
        this.#running.splice(i, 1)
      } else if (interruptible && since < patience) interrupt(thread)
    }
  }

  /** Who has been served goes to the end of the line. Returns how many were begun. */
  #beginSome(): number {
    let begun = 0
    for (const sender of [...this.#senders.values()]) {
      const before = begun
      while (sender.waiting.length > 0 && sender.running < MAX_THREADS_OF_ONE) {
        if (begun === BATCH || this.#running.length === MAX_THREADS || !this.#begin(sender)) return begun
        begun++
      }
      if (begun === before) continue
      this.#senders.delete(sender.number)
      this.#senders.set(sender.number, sender)
    }
    return begun
  }

  #begin(sender: Sender): boolean {
    const fd = sender.waiting[0]!
    const interruptible = kindOf(fd) === KIND.socket
    const thread = this.ledger.closeInThread(fd)
    if (thread === 0) return false
    sender.waiting.shift()
    this.#waiting--
    sender.running++
    this.#running.push({ thread, sender, since: performance.now(), interruptible })
    return true
  }
}

const KIND = { memory: 1, socket: 2, other: 3 } as const
type Kind = (typeof KIND)[keyof typeof KIND]

/** `struct statx`, and room for an empty path. */
const status = new Memory(256 + 4)
const EMPTY_PATH_AT = 256
const MODE_AT = 28
const DEVICE_MAJOR_AT = 128
const FILE_TYPE = 0o170000
const CHARACTER_DEVICE = 0o020000
const SOCKET = 0o140000
/** `/dev/null` and its like. There is nothing that the kernel would do when one is closed. */
const MEMORY_DEVICE = 1

/** Asks the kernel alone, never the server that a file may come from. */
function kindOf(fd: number): Kind {
  const { bytes, address } = status
  if (statx(fd, address + EMPTY_PATH_AT, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, address) !== 0) return KIND.other
  const type = bytes.readUInt16LE(MODE_AT) & FILE_TYPE
  if (type === SOCKET) return KIND.socket
  const isMemory = type === CHARACTER_DEVICE && bytes.readUInt32LE(DEVICE_MAJOR_AT) === MEMORY_DEVICE
  return isMemory ? KIND.memory : KIND.other
}

/** Ends both directions of a socket, so that its peer can put nothing more into it. Returns whether something lies unread. */
export const shutDown = (fd: number): boolean => shutdown(fd, SHUT_RDWR) === 0 && hasUnread(fd)
