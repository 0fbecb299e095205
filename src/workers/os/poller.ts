import net from 'node:net'
import { close, dup3, EINTR, epollControl, epollCreate, epollWait, errno, errorText, makePipe, Memory, O_CLOEXEC } from './libc.js'

export const READABLE = 0x001
export const WRITABLE = 0x004
export const FAILED = 0x008
export const HUNG_UP = 0x010
/** To be asked for: the peer sends nothing more. What it sent before may still be there to be read. */
export const PEER_CLOSED = 0x2000
/** To be asked for: readiness is told once, when it begins or is asked for anew by `change`, and not until it ends. */
export const EDGE = 1 << 31

const CTL_ADD = 1
const CTL_DEL = 2
const CTL_MOD = 3
/** Descriptors served between two turns of the event loop. */
const BATCH = 256
/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16
const DATA_AT = EVENT_BYTES - 8

export interface Pollable {
  /** The descriptor is ready for what it was registered for, failed, or was hung up by its peer. */
  ready(events: number): void
}

/** The only internals of Node that are touched (pitfall: `reading` must be true, or Node starts a read of its own). */
interface StreamHandle {
  onread: () => void
  reading: boolean
  readStart(): number
}

/**
 * Readiness of any number of descriptors, out of one handle on Node's event loop. Per thread one epoll instance; to
 * have libuv watch it, its descriptor takes the place (dup3) of a pipe's for which Node has made a stream handle. A
 * stream handle whose buffer has no room is only ever told that data is there; it never reads.
 *
 * A `net.Socket` for each connection costs kilobytes and about 1 µs a wake-up more (docs/performance.md).
 */
export class Poller {
  /** Called before those that are ready are told. */
  onPoll: () => void = () => {}
  /** Called when all have been told. */
  onPolled: () => void = () => {}
  readonly #epfd: number
  readonly #socket: net.Socket
  readonly #events = new Memory(BATCH * EVENT_BYTES)
  readonly #words: DataView
  readonly #control = new Memory(16)
  readonly #targets: (Pollable | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []

  /** `closeFd`: for a descriptor that stands in the ledger. */
  constructor(readonly closeFd: (fd: number) => void = close) {
    const epfd = epollCreate(O_CLOEXEC)
    if (epfd < 0) throw new Error(`epoll_create1: ${errorText(errno())}`)
    const [readEnd, writeEnd] = makePipe()
    const options = { fd: readEnd, manualStart: true, onread: { buffer: Buffer.alloc(0), callback: () => true } }
    this.#socket = new net.Socket(options)
    const handle = (this.#socket as unknown as { _handle?: Partial<StreamHandle> })._handle
    if (typeof handle?.readStart !== 'function') throw new Error('this Node has no stream handle to poll with')
    // Not for the process of the test driver either, which has other rights.
    dup3(epfd, readEnd, O_CLOEXEC)
    close(writeEnd)
    this.#epfd = epfd
    this.#words = new DataView(this.#events.bytes.buffer)
    handle.onread = () => this.#dispatch()
    handle.reading = true
    handle.readStart()
  }

  /** The epoll instance. Node closes its copy with the thread, but not this one. */
  get fd(): number {
    return this.#epfd
  }

  /** Watches `fd`; returns the slot that names it from now on. `target` is told until `remove`. */
  add(fd: number, events: number, target: Pollable): number {
    const slot = this.#free.pop() ?? this.#targets.length
    const generation = ((this.#generations[slot] ?? 0) + 1) & 0x7fffffff
    this.#targets[slot] = target
    this.#generations[slot] = generation
    if (this.#ctl(CTL_ADD, fd, events, slot) === 0) return slot
    const code = errno()
    this.forget(slot)
    throw new Error(`epoll_ctl: ${errorText(code)}`)
  }

  change(slot: number, fd: number, events: number): void {
    this.#ctl(CTL_MOD, fd, events, slot)
  }

  /** Stops watching. Events of the current batch that are meant for it are dropped. */
  remove(slot: number, fd: number): void {
    this.#ctl(CTL_DEL, fd, 0, slot)
    this.forget(slot)
  }

  /** As `remove`, for a descriptor that is closed at once: with that the kernel forgets it by itself. */
  forget(slot: number): void {
    this.#targets[slot] = undefined
    this.#free.push(slot)
  }

  close(): void {
    this.#socket.destroy()
    this.closeFd(this.#epfd)
  }

  #ctl(op: number, fd: number, events: number, slot: number): number {
    const event = this.#control.bytes
    event.writeInt32LE(events, 0)
    event.writeUInt32LE(slot, DATA_AT)
    event.writeUInt32LE(this.#generations[slot]!, DATA_AT + 4)
    return epollControl(this.#epfd, op, fd, this.#control.address)
  }

  #dispatch(): void {
    this.onPoll()
    const count = epollWait(this.#epfd, this.#events.address, BATCH, 0)
    if (count < 0 && errno() !== EINTR) throw new Error(`epoll_wait: ${errorText(errno())}`)
    for (let i = 0, at = 0; i < count; i++, at += EVENT_BYTES) {
      const slot = this.#words.getUint32(at + DATA_AT, true)
      const target = this.#targets[slot]
      // A descriptor closed earlier in this batch may be in use again under its old number and slot.
      if (target === undefined || this.#generations[slot] !== this.#words.getUint32(at + DATA_AT + 4, true)) continue
      target.ready(this.#words.getUint32(at, true))
    }
    this.onPolled()
  }
}
