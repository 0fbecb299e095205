import type { CallKind } from '../../protocol/call-kinds.js'
import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import { errorReply, rpcError } from '../../protocol/errors.js'
import type { FrameReader } from '../../protocol/frame-reader.js'
import { readHeader } from '../../protocol/header.js'
import type { ClientEvents } from './ports.js'

/** An XML description and its descriptors. Where none can be served, such a call is only collected to be refused. */
export const MAX_CALL_WITH_FDS_BYTES = 8 * 1024 * 1024
export const MAX_REFUSED_CALL_WITH_FDS_BYTES = 64 * 1024

/** Whose calls they are. */
export interface DescriptorSender {
  readonly reader: FrameReader
  readonly closer: { close(descriptor: number): void }
  readonly carriesDescriptors: boolean
  readonly events: Pick<ClientEvents, 'close' | 'closeInOrder' | 'collected'>
  /** What a call is, now that it is there; undefined: it has been refused, or comes too late. */
  judge(bytes: Buffer, at: number): CallKind | undefined
}

/**
 * The calls of one client that have descriptors behind them. How many there are stands behind the header, so such a
 * frame is looked at whole, and judged when all its descriptors have come.
 */
export class CallsWithDescriptors {
  readonly #sender: DescriptorSender
  /** What has come of them. */
  readonly passing: DescriptorPassing

  constructor(sender: DescriptorSender) {
    this.#sender = sender
    const taken = (frame: Buffer, descriptors: readonly number[]): void => this.#whole(frame, 0, frame.length, descriptors)
    this.passing = new DescriptorPassing(sender.reader, sender.closer, taken)
  }

  /** The frame has come. */
  frame(bytes: Buffer, from: number, to: number): void {
    const { events, carriesDescriptors } = this.#sender
    const count = DescriptorPassing.announced(bytes, from, to)
    if (count === 0) return this.#whole(bytes, from, to, [])
    if (count === undefined) return events.close('too many file descriptors announced', 'protocol-violation')
    if (carriesDescriptors) return this.passing.expect(bytes, from, to, count)
    // Where the next frame begins is not certain any more.
    const error = rpcError('file descriptors cannot be passed over this connection')
    events.closeInOrder(errorReply(readHeader(bytes, from), error))
  }

  #whole(bytes: Buffer, from: number, to: number, descriptors: readonly number[]): void {
    const { closer, events } = this.#sender
    const kind = this.#sender.judge(bytes, from)
    if (kind !== undefined) return events.collected(bytes, from, to, kind, descriptors)
    for (const descriptor of descriptors) closer.close(descriptor)
  }
}
