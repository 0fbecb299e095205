import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import { errorReply, rpcError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition, type FrameReader } from '../../protocol/frame-reader.js'
import { readHeader } from '../../protocol/header.js'
import type { ReplySink } from './driver-port.js'

/** Whose replies they are. */
export interface DescriptorReceiver {
  readonly reader: FrameReader
  readonly closer: { close(descriptor: number): void }
  /** Whether descriptors are received here: if not, the bytes that they come with are passed over. */
  readonly receives: boolean
  readonly replies: ReplySink
  /** What becomes of a reply, now that it is there. `collect`: of one that never has descriptors. */
  judge(frame: Buffer): Disposition
  violate(what: string): void
}

/** The replies of one driver daemon that have descriptors behind them: each goes on when all its descriptors have come. */
export class RepliesWithDescriptors {
  readonly #receiver: DescriptorReceiver
  /** What has come of them. */
  readonly passing: DescriptorPassing

  constructor(receiver: DescriptorReceiver) {
    this.#receiver = receiver
    const taken = (frame: Buffer, descriptors: readonly number[]): void => this.#whole(frame, descriptors)
    this.passing = new DescriptorPassing(receiver.reader, receiver.closer, taken)
  }

  /** The frame has come. */
  frame(bytes: Buffer, from: number, to: number): void {
    const { reader, receives } = this.#receiver
    const count = DescriptorPassing.announced(bytes, from, to)
    if (count === undefined) return this.#receiver.violate('too many file descriptors announced')
    if (count > 0 && receives) return this.passing.expect(bytes, from, to, count)
    if (count > 0) reader.expectTail(count)
    this.#whole(Buffer.from(bytes.subarray(from, to)), [])
  }

  #whole(frame: Buffer, descriptors: readonly number[]): void {
    const { closer, replies } = this.#receiver
    const disposition = this.#receiver.judge(frame)
    if (disposition === DISPOSITION.pass && replies.carriesDescriptors) return replies.relayWithDescriptors(frame, descriptors)
    for (const descriptor of descriptors) closer.close(descriptor)
    if (disposition === DISPOSITION.collect) return this.#receiver.violate('file descriptors with a reply that has none')
    if (disposition !== DISPOSITION.pass) return
    replies.write(errorReply(readHeader(frame), rpcError('file descriptors cannot be passed over this connection')))
  }
}
