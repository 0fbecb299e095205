import { DISPOSITION } from '../../protocol/frame-reader.js'
import type { SplicePath } from '../transport/transport.js'
import type { ClientSide } from './client-side.js'

/** Shorter packets cost no more when they are copied. */
export const LEAST_SPLICED_BYTES = 64 * 1024

/** The path of an upload's packets from its client to the driver daemon, past this process's memory. */
export class UploadPath implements SplicePath {
  constructor(readonly client: ClientSide) {}

  get left(): number {
    return this.client.reader.leftToPass
  }

  get to(): number | undefined {
    return this.client.session.driver?.transport.spliceTarget
  }

  moved(count: number, bytes: Buffer, from: number, to: number): void {
    const { reader, session } = this.client
    // Nothing left over, but somebody waits for the end of the frame.
    const ended = reader.passedUnseen(count)
    if (from < to || ended) session.flow.relay(bytes, from, to, DISPOSITION.pass)
  }

  over(): void {
    this.client.splicePath = undefined
  }
}
