import { DISPOSITION, FrameReader, type Disposition, type FrameSink } from '#protocol/frame-reader.js'
import { encodeFrame, HEADER_BYTES, MESSAGE, PROGRAM, PROGRAM_VERSION, readHeader, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { connectUnix } from '#workers/driver/unix-connect.js'
import type { ForeignCloser } from '#workers/os/foreign-close.js'
import { DescriptorPassing } from '#protocol/descriptor-passing.js'
import { PolledTransport } from '#workers/transport/polled.js'
import type { ThreadIo } from '#workers/transport/thread-io.js'
import type { TransportHandler } from '#workers/transport/transport.js'
import type { Cleanup } from './cleanup.js'
import { threadIo } from './thread-io.js'

export interface ReplyWithDescriptors {
  type: number
  status: number
  payload: Buffer
  /** The receiver's to close. */
  descriptors: number[]
}

/** A UNIX client that passes file descriptors, which Node's sockets cannot. One call at a time. */
export class DescriptorClient implements TransportHandler, FrameSink {
  readonly session = { close: () => this.transport.destroy() }
  readonly transport: PolledTransport
  readonly closer: ForeignCloser
  closed = false
  readonly #reader = new FrameReader(this)
  readonly #passing: DescriptorPassing
  #serial = 0
  #answer: ((reply: ReplyWithDescriptors | undefined) => void) | undefined

  private constructor(
    io: ThreadIo,
    readonly fd: number
  ) {
    this.closer = io.closer
    this.transport = new PolledTransport(io, fd, this, { sender: 1 })
    this.#passing = new DescriptorPassing(this.#reader, io.closer, (frame, descriptors) => this.#replied(frame, descriptors))
  }

  static async connect(cleanup: Cleanup, path: string): Promise<DescriptorClient> {
    const io = threadIo(cleanup)
    const { outcome: fd } = await connectUnix([{ path, named: true }], io.ledger, io.owner, 5000, { up: false })
    if (fd < 0) throw new Error(`connect to ${path}: errno ${-fd}`)
    const client = new DescriptorClient(io, fd)
    cleanup.defer(() => Promise.resolve(client.transport.destroy()))
    return client
  }

  open(name: string): Promise<ReplyWithDescriptors | undefined> {
    return this.call(PROGRAM.remote, REMOTE.connectOpen, encodeOpen({ name, flags: 0 }))
  }

  /** Resolves to undefined when the connection is closed instead of answered. `announced`: if not their number. */
  call(
    prog: number,
    proc: number,
    args: Buffer,
    descriptors?: readonly number[],
    announced = descriptors?.length ?? 0
  ): Promise<ReplyWithDescriptors | undefined> {
    const type = descriptors === undefined ? MESSAGE.call : MESSAGE.callWithFds
    const count = Buffer.alloc(4)
    count.writeUInt32BE(announced)
    const payload = descriptors === undefined ? args : Buffer.concat([count, args])
    const header = { prog, vers: PROGRAM_VERSION, proc, type, serial: this.#serial++, status: STATUS.ok }
    const frame = encodeFrame(header, payload)
    this.transport.send(frame, 0, frame.length)
    if (descriptors !== undefined) this.transport.sendDescriptors(descriptors)
    return this.answer()
  }

  /** Of the next reply. */
  answer(): Promise<ReplyWithDescriptors | undefined> {
    if (this.closed) return Promise.resolve(undefined)
    return new Promise(resolve => (this.#answer = resolve))
  }

  /** Bytes as they are, with descriptors attached to a zero byte each behind them. */
  write(bytes: Buffer, descriptors: readonly number[] = []): void {
    this.transport.send(bytes, 0, bytes.length)
    this.transport.sendDescriptors(descriptors)
  }

  /** Resolves when the broker has closed the connection. */
  async untilClosed(): Promise<void> {
    while (!this.closed) await this.answer()
  }

  received(bytes: Buffer, from: number, to: number): void {
    this.#reader.push(bytes, from, to)
    const offence = this.#passing.offence()
    if (offence !== undefined) throw new Error(offence)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#passing.arrived(descriptors)
  }

  drained(): void {}

  ended(): void {
    this.lost()
  }

  lost(): void {
    this.closed = true
    this.#settle(undefined)
  }

  head(): Disposition {
    return DISPOSITION.collect
  }

  run(): void {}

  frame(bytes: Buffer, from: number, to: number): void {
    const { type, prog } = readHeader(bytes, from)
    if (prog === PROGRAM.keepalive) return
    if (type !== MESSAGE.replyWithFds) return this.#replied(Buffer.from(bytes.subarray(from, to)), [])
    const announced = DescriptorPassing.announced(bytes, from, to)!
    if (announced > 0) this.#passing.expect(bytes, from, to, announced)
    else this.#replied(Buffer.from(bytes.subarray(from, to)), [])
  }

  tail(count: number): void {
    this.#passing.tail(count)
  }

  illegal(length: number): void {
    throw new Error(`frame of ${length} bytes`)
  }

  #replied(frame: Buffer, descriptors: number[]): void {
    const { type, status } = readHeader(frame)
    this.#settle({ type, status, payload: frame.subarray(HEADER_BYTES), descriptors })
  }

  #settle(reply: ReplyWithDescriptors | undefined): void {
    const answer = this.#answer
    this.#answer = undefined
    answer?.(reply)
  }
}
