import type { FrameReader } from './frame-reader.js'
import { HEADER_BYTES, MAX_FRAME_FDS } from './header.js'

/**
 * Puts the descriptors that come from one peer together with the frame that announces them. They follow it, each
 * attached to one zero byte of its own; anything else is an offence that ends the connection.
 */
export class DescriptorPassing {
  readonly #arrived: number[] = []
  /** The frame whose descriptors are coming, the number announced, and of their bytes those that have come. */
  #frame: Buffer | undefined
  #announced = 0
  #seen = 0
  #offence: string | undefined

  constructor(
    readonly reader: FrameReader,
    /** Closes descriptors that peers have sent. */
    readonly closer: { close(descriptor: number): void },
    /** A frame with all its descriptors, which are now the taker's to close. */
    readonly taken: (frame: Buffer, descriptors: number[]) => void
  ) {}

  /** The number that a frame announces, or undefined if it cannot be. */
  static announced(bytes: Buffer, from: number, to: number): number | undefined {
    if (to - from < HEADER_BYTES + 4) return undefined
    const count = bytes.readUInt32BE(from + HEADER_BYTES)
    return count <= MAX_FRAME_FDS ? count : undefined
  }

  /** A whole frame that announces `count` (at least 1) has come. To be called from the reader's sink. */
  expect(bytes: Buffer, from: number, to: number, count: number): void {
    this.#frame = Buffer.from(bytes.subarray(from, to))
    this.#announced = count
    this.#seen = 0
    this.reader.expectTail(count)
  }

  arrived(descriptors: readonly number[]): void {
    this.#arrived.push(...descriptors)
  }

  /** `count` of the frame's bytes beyond its end have come, and their descriptors with them. */
  tail(count: number): void {
    this.#seen += count
    if (this.#seen < this.#announced || this.#frame === undefined) return
    const frame = this.#frame
    this.#frame = undefined
    if (this.#arrived.length < this.#announced) {
      this.#offence = `${this.#arrived.length} file descriptors came where ${this.#announced} were announced`
      return
    }
    this.taken(frame, this.#arrived.splice(0, this.#announced))
  }

  /** What is wrong after a read, if anything: each descriptor must have been accounted for by a byte of a tail. */
  offence(): string | undefined {
    const due = this.#frame === undefined ? 0 : this.#seen
    if (this.#offence === undefined && this.#arrived.length > due) this.#offence = 'unexpected file descriptor'
    return this.#offence
  }

  /** Closes what nobody will take any more. */
  discard(): void {
    for (const descriptor of this.#arrived.splice(0)) this.closer.close(descriptor)
    this.#frame = undefined
  }
}
