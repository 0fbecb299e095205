import type { LossReason, SplicePath, TransportHandler } from '#workers/transport/transport.js'

/** A handler of a transport that keeps what it hears. */
export class Recorder implements TransportHandler {
  readonly session = { close: () => undefined }
  readonly chunks: Buffer[] = []
  size = 0
  loss: LossReason | undefined
  splicePath: SplicePath | undefined
  onData: () => void = () => undefined

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  received(bytes: Buffer, from: number, to: number): void {
    this.chunks.push(Buffer.from(bytes.subarray(from, to)))
    this.size += to - from
    this.onData()
  }

  receivedDescriptors(): void {}
  drained(): void {}

  ended(): void {
    this.loss = { errno: 0 }
  }

  lost(reason: LossReason): void {
    this.loss = reason
  }
}
