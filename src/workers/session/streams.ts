import { streamError, type RemoteError } from '../../protocol/errors.js'

interface OpenStream {
  readonly prog: number
  readonly proc: number
  /** Whether the opening call allowed holes. */
  readonly sparse: boolean
}

/** The streams that one client has open, by the serial of the call that opened each. */
export class OpenStreams {
  readonly #streams = new Map<number, OpenStream>()

  get size(): number {
    return this.#streams.size
  }

  /** The opening call's OK reply has come. A serial used twice names the newer stream. */
  opened(prog: number, proc: number, serial: number, sparse: boolean): void {
    this.#streams.set(serial, { prog, proc, sparse })
  }

  get(serial: number): OpenStream | undefined {
    return this.#streams.get(serial)
  }

  /** The driver daemon confirmed the end of the stream or broke it: its serial is dead. */
  ended(serial: number): void {
    this.#streams.delete(serial)
  }

  /** Breaks all streams; returns the frames that tell the client so. */
  breakAll(error: RemoteError): Buffer[] {
    const frames = [...this.#streams].map(([serial, { prog, proc }]) => streamError(prog, proc, serial, error))
    this.#streams.clear()
    return frames
  }
}
