import { TAKE } from '../../protocol/frame-reader.js'
import type { PolledTransport } from '../transport/polled.js'
import type { Passage } from '../transport/transport.js'
import type { ClientSide } from './client-side.js'

/** Shorter packets cost no more when they are copied. */
export const LEAST_PASSED_BYTES = 64 * 1024

/** The way of an upload's packets from its client to the driver daemon, past this process's memory. */
export class UploadPassage implements Passage {
  constructor(readonly client: ClientSide) {}

  get left(): number {
    return this.client.reader.leftToPass
  }

  get to(): PolledTransport | undefined {
    const transport = this.client.session.driver?.transport
    return transport === undefined || transport.closed || transport.pending > 0 ? undefined : transport
  }

  moved(count: number, bytes: Buffer, from: number, to: number): void {
    const { reader, session } = this.client
    // Nothing left over, but somebody waits for the end of the frame.
    const ended = reader.passedUnseen(count)
    if (from < to || ended) session.flow.relay(bytes, from, to, TAKE.pass)
  }

  over(): void {
    this.client.passage = undefined
  }
}
