import type { ByteSink } from '../transport/transport.js'

/** Bytes of own frames that may wait for the end of a relayed one. Whoever causes them is not listened to beyond that. */
const MAX_WAITING_BYTES = 64 * 1024

/** Where relayed frames come from: a reader that passes them on. */
export interface FrameSource {
  /** One has begun to be passed on, and is not through. */
  readonly inPassedFrame: boolean
  /** What is passed on up to the end of that frame is to be a piece of its own. */
  cutAtFrameEnd(): void
}

export interface FrameWriterOwner {
  /** Own frames had to wait until `write` returned false, and are out now. */
  room(): void
}

/**
 * The way out to one peer. Two kinds of frames leave by it: those relayed from the other side, in pieces as they come,
 * and the broker's own, which must not fall between the pieces of a relayed one and so wait for its end.
 */
export class FrameWriter {
  #source: FrameSource | undefined
  #waiting: Buffer[] | undefined
  #waitingBytes = 0
  #ending = false

  constructor(
    readonly transport: ByteSink,
    readonly owner?: FrameWriterOwner
  ) {}

  /** Descriptor that what follows may be spliced into; undefined while that cannot be. */
  get spliceTarget(): number | undefined {
    return this.transport.spliceTarget
  }

  /** A relayed frame has begun to go out, and is not through. */
  get inRelayedFrame(): boolean {
    return this.#source?.inPassedFrame === true
  }

  /** The frames that `source` passes on go out here from now on. */
  relayFrom(source: FrameSource): void {
    this.#source = source
  }

  /** Too many own frames wait for the end of a relayed one. */
  get crowded(): boolean {
    return this.#waitingBytes >= MAX_WAITING_BYTES
  }

  /** A piece of relayed frames. Returns false when the peer takes no more for now. */
  relay(bytes: Buffer, from: number, to: number): boolean {
    const taken = this.transport.send(bytes, from, to)
    if ((this.#waiting === undefined && !this.#ending) || this.inRelayedFrame) return taken
    return this.#writeWaiting()
  }

  /** A whole relayed frame and the descriptors that belong to it, which are closed here. */
  relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): boolean {
    const taken = this.transport.send(frame, 0, frame.length)
    return this.transport.sendDescriptors(descriptors) && this.relay(frame, 0, 0) && taken
  }

  /** A whole frame of the broker's own. Returns false when the peer takes no more for now. */
  write(frame: Buffer): boolean {
    const source = this.#source
    if (!source?.inPassedFrame) return this.transport.send(frame, 0, frame.length)
    this.#waiting ??= []
    this.#waiting.push(frame)
    this.#waitingBytes += frame.length
    source.cutAtFrameEnd()
    return !this.crowded
  }

  /** As `write`, for a frame of which one is as good as many: it does not wait twice. */
  writeOnce(frame: Buffer): boolean {
    return this.#waiting?.includes(frame) === true || this.write(frame)
  }

  /** Closes the transport once all frames, and the rest of one that is being relayed, are out. */
  end(): void {
    this.#ending = true
    if (this.#source?.inPassedFrame) this.#source.cutAtFrameEnd()
    else this.#writeWaiting()
  }

  /** The source is gone, or has given up its frame: what waited for its end goes out. */
  relayNoMore(): void {
    this.#source = undefined
    if (this.#waiting !== undefined || this.#ending) this.#writeWaiting()
  }

  #writeWaiting(): boolean {
    const frames = this.#waiting
    const { crowded } = this
    this.#waiting = undefined
    this.#waitingBytes = 0
    let taken = true
    if (frames !== undefined) {
      const bytes = frames.length === 1 ? frames[0]! : Buffer.concat(frames)
      taken = this.transport.send(bytes, 0, bytes.length)
    }
    if (this.#ending) this.transport.end()
    else if (crowded) this.owner?.room()
    return taken
  }
}
