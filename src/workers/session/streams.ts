import { streamError, type RemoteError } from '../../protocol/errors.js'

interface Stream {
  readonly prog: number
  readonly proc: number
  /** Whether the opening call allowed holes. */
  readonly sparse: boolean
  /** The opening call's OK reply has come. */
  open: boolean
  /** The client has finished or aborted it, and the daemon has still to confirm that. */
  finishing: boolean
}

/** The streams of one client, by the serial of the call that opens each. Most clients never have any. */
export class OpenStreams {
  #streams: Map<number, Stream> | undefined

  get size(): number {
    return this.#streams?.size ?? 0
  }

  /** Whether the client waits for the end of one that it has finished itself. */
  get someFinishing(): boolean {
    for (const { finishing } of this.#streams?.values() ?? []) if (finishing) return true
    return false
  }

  /**
   * The daemon has the opening call. From now on it may send data: in libvirtd another thread does that, and it can
   * overtake the reply. A serial used twice names the newer stream.
   */
  called(prog: number, proc: number, serial: number, sparse: boolean): void {
    this.#streams ??= new Map()
    this.#streams.set(serial, { prog, proc, sparse, open: false, finishing: false })
  }

  /** The opening call's OK reply has come, before or after the stream's end. */
  opened(serial: number): void {
    const stream = this.get(serial)
    if (stream !== undefined) stream.open = true
  }

  get(serial: number): Stream | undefined {
    return this.#streams?.get(serial)
  }

  /** The driver daemon refused the call, confirmed the end of the stream or broke it: its serial is dead. */
  ended(serial: number): void {
    this.#streams?.delete(serial)
  }

  /** Breaks all streams; returns the frames that tell the client so. Where the call itself still fails, that tells. */
  breakAll(error: RemoteError): Buffer[] {
    const frames: Buffer[] = []
    for (const [serial, { prog, proc, open }] of this.#streams ?? []) {
      if (open) frames.push(streamError(prog, proc, serial, error))
    }
    this.#streams = undefined
    return frames
  }
}
