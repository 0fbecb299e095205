import { DISPOSITION, type FrameReader } from '../../protocol/frame-reader.js'
import type { SplicePath } from '../transport/transport.js'
import type { CallSink } from './ports.js'

/** Shorter packets cost no more when they are copied. */
export const LEAST_SPLICED_BYTES = 64 * 1024

/** The path of an upload's packets from its client to the driver daemon, past this process's memory. */
export class UploadPath implements SplicePath {
  /** `reader`: of the client's frames. `over`: it leads no further. */
  constructor(
    readonly reader: FrameReader,
    readonly calls: CallSink,
    readonly over: () => void
  ) {}

  get left(): number {
    return this.reader.leftToPass
  }

  get to(): number | undefined {
    return this.calls.spliceTarget
  }

  moved(count: number, bytes: Buffer, from: number, to: number): void {
    // Nothing left over, but somebody waits for the end of the frame.
    const ended = this.reader.passedUnseen(count)
    if (from < to || ended) this.calls.relay(bytes, from, to, DISPOSITION.pass)
  }
}
