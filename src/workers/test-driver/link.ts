import type { Socket } from 'node:net'

/** What a link tells its owner. */
export interface LinkOwner {
  /** Bytes came in; they are valid during the call only. */
  received(bytes: Buffer, from: number, to: number): void
  /** What was queued has left, after the link had been congested. */
  drained(): void
  /** The peer is gone. Called once, also after `close`. */
  lost(): void
}

/** The driver's end of one connection, whatever carries the bytes. */
export interface Link {
  /** Queues a whole frame, which must not be changed afterwards. */
  send(frame: Buffer): void
  /** Closes when all that is queued has been written; nothing is read any more. */
  close(): void
  /** So much is queued that the owner should produce nothing more before `drained`. */
  readonly congested: boolean
}

/** Bytes waiting for a slow reader above which its calls are not read either. */
const CONGESTED_BYTES = 1024 * 1024
/** Frames up to this size are copied together into one write. */
const SMALL_BYTES = 4096

/** A link over a stream socket. All frames of one turn of the event loop leave with as few writes as possible. */
export class SocketLink implements Link {
  readonly #socket: Socket
  readonly #owner: LinkOwner
  #queue: Buffer[] = []
  #scheduled = false
  #stuck = false
  #closing = false

  constructor(socket: Socket, makeOwner: (link: Link) => LinkOwner) {
    this.#socket = socket
    const owner = makeOwner(this)
    this.#owner = owner
    socket.on('data', (chunk: Buffer) => {
      if (!this.#closing) owner.received(chunk, 0, chunk.length)
    })
    socket.on('drain', () => this.#drained())
    // A peer that breaks off is as good as one that hangs up: the 'close' event follows.
    socket.on('error', () => undefined)
    socket.on('end', () => this.close())
    socket.on('close', () => owner.lost())
  }

  get congested(): boolean {
    return this.#stuck
  }

  send(frame: Buffer): void {
    if (this.#closing || this.#socket.destroyed) return
    this.#queue.push(frame)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#flush())
  }

  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#flush()
    this.#socket.end()
    // Nobody waits for a peer that never closes its side.
    this.#socket.destroySoon()
  }

  #flush(): void {
    this.#scheduled = false
    const frames = this.#queue
    if (frames.length === 0 || this.#socket.destroyed) return
    this.#queue = []
    let first = 0
    while (first < frames.length) {
      let last = first
      while (last < frames.length && frames[last]!.length <= SMALL_BYTES) last++
      if (last - first > 1) this.#socket.write(Buffer.concat(frames.slice(first, last)))
      else this.#socket.write(frames[first]!)
      first = Math.max(last, first + 1)
    }
    if (!this.#stuck && this.#socket.writableLength > CONGESTED_BYTES) {
      this.#stuck = true
      this.#socket.pause()
    }
  }

  #drained(): void {
    if (!this.#stuck) return
    this.#stuck = false
    this.#socket.resume()
    this.#owner.drained()
  }
}
