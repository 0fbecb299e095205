import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import { errorReply, internalError, RemoteError, undecodable } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import {
  encodeFrame,
  frameLength,
  frameProcedure,
  frameProgram,
  frameType,
  HEADER_BYTES,
  MESSAGE,
  PROGRAM,
  readHeader,
  STATUS,
  writeHeader,
  type Header
} from '../../protocol/header.js'
import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { KEEPALIVE } from '../../protocol/procedures.js'
import { XdrError, XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { Clock } from '../base/clock.js'
import { Keepalive, type KeepalivePeer } from '../framing/keepalive.js'
import { procedureOf, type Call, type Programs } from './dispatch.js'
import type { Link, LinkOwner } from './link.js'
import { HoleRefused, Streams, type StreamEnd } from './streams.js'

/** libvirtd's defaults. */
const KEEPALIVE_SETTINGS = { intervalMs: 5000, count: 5 }

/** What a service may do with the connection of one client. */
export interface Connection {
  /** A whole frame: an event. */
  send(frame: Buffer): void
  /** The client has said that it answers pings. */
  startPinging(): void
  /** Ends it when what has been queued is out. */
  close(): void
}

/** What is served. `Client` is what is kept of each client. */
export interface Service<Client> {
  readonly programs: Programs<Client>
  /** Whoever sends a longer frame loses the connection; in bytes. */
  readonly maxFrameBytes: number
  /** A call of this client has been answered. */
  answered(client: Client): void
  /** Its connection is gone. Called once. */
  left(client: Client): void
  /** Something that should not be possible happened while a client was served. */
  failed(error: unknown): void
}

/** What a session has of its server. */
export interface SessionHost<Client> {
  readonly service: Service<Client>
  readonly clock: Clock
  /** Closes descriptors that clients have sent. */
  readonly closer: { close(descriptor: number): void }
  /** Makes what is kept of this client. */
  connected(connection: Connection): Client
  /** The connection is gone. */
  gone(): void
}

/** One client: reads its frames, has its calls served one after the other, and holds its streams. */
export class ServerSession<Client> implements LinkOwner, KeepalivePeer, Connection {
  readonly session = this
  readonly #link: Link
  readonly #host: SessionHost<Client>
  readonly #client: Client
  readonly #streams: Streams
  readonly #keepalive: Keepalive
  /** Made when the first descriptor, or call that announces some, comes. */
  #arriving: DescriptorPassing | undefined
  #ended = false

  constructor(link: Link, host: SessionHost<Client>) {
    this.#link = link
    this.#host = host
    this.#streams = new Streams(link)
    this.#keepalive = new Keepalive(host.clock, KEEPALIVE_SETTINGS, this)
    this.#client = host.connected(this)
  }

  // For the service.

  send(frame: Buffer): void {
    this.#link.send(frame)
  }

  startPinging(): void {
    this.#keepalive.startPinging()
  }

  close(): void {
    this.#link.close()
    this.lost()
  }

  // The link's side.

  heard(): void {
    this.#keepalive.heardAt = this.#host.clock.now
  }

  inputHeld(): void {
    this.#keepalive.peerPaused()
  }

  judged(all: boolean): void {
    if (all && this.#arriving?.offence() !== undefined) this.close()
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#passing().arrived(descriptors)
  }

  inputEnded(): void {
    this.close()
  }

  drained(): void {
    this.#streams.pumpAll()
  }

  lost(): void {
    if (this.#ended) return
    this.#ended = true
    this.#streams.closeAll()
    this.#arriving?.discard()
    this.#keepalive.stop()
    this.#host.service.left(this.#client)
    this.#host.gone()
  }

  // Keepalive's side.

  get paused(): boolean {
    return this.#link.input.held
  }

  ping(): void {
    this.#link.send(PING_FRAME)
  }

  pong(): void {
    this.#link.send(PONG_FRAME)
  }

  dead(): void {
    this.close()
  }

  // The frame reader's side.

  head(bytes: Buffer, at: number): Disposition {
    if (frameLength(bytes, at) > this.#host.service.maxFrameBytes) this.close()
    return DISPOSITION.collect
  }

  run(): void {
    // Nothing is ever passed on: every frame is collected.
  }

  tail(count: number): void {
    this.#passing().tail(count)
  }

  illegal(): void {
    this.close()
  }

  frame(bytes: Buffer, from: number, to: number): void {
    this.#link.input.spend(to - from)
    try {
      this.#frame(bytes, from, to)
    } catch (error) {
      if (!(error instanceof HoleRefused)) this.#host.service.failed(error)
      this.close()
    }
  }

  #frame(bytes: Buffer, from: number, to: number): void {
    const type = frameType(bytes, from)
    if (type === MESSAGE.call) return this.#call(bytes, from, to, HEADER_BYTES)
    if (type === MESSAGE.stream || type === MESSAGE.streamHole)
      return this.#streams.received(readHeader(bytes, from), bytes.subarray(from + HEADER_BYTES, to))
    if (frameProgram(bytes, from) === PROGRAM.keepalive) return this.#keepaliveFrame(frameProcedure(bytes, from))
    if (type === MESSAGE.callWithFds) {
      const announced = DescriptorPassing.announced(bytes, from, to)
      if (announced === undefined) return this.close()
      if (announced > 0) return this.#passing().expect(bytes, from, to, announced)
      this.#call(bytes, from, to, HEADER_BYTES + 4)
    }
    // Replies and events make no sense from a client; libvirt drops them.
  }

  #keepaliveFrame(proc: number): void {
    this.#keepalive.peerKnowsIt()
    if (proc === KEEPALIVE.ping) this.pong()
  }

  #passing(): DescriptorPassing {
    return (this.#arriving ??= new DescriptorPassing(this.#link.input.reader, this.#host.closer, (frame, descriptors) =>
      this.#call(frame, 0, frame.length, HEADER_BYTES + 4, descriptors)
    ))
  }

  // Calls.

  #call(bytes: Buffer, from: number, to: number, skip: number, descriptors: number[] = []): void {
    const header = readHeader(bytes, from)
    const call: Call<Client> = {
      client: this.#client,
      args: new XdrReader(bytes, from + skip, to),
      reply: new XdrWriter(128),
      descriptors,
      replyDescriptors: []
    }
    try {
      const outcome = procedureOf(this.#host.service.programs, header)(call)
      if (outcome instanceof Promise) return void this.#answerLater(header, call, outcome)
      this.#answer(header, call, outcome)
    } catch (error) {
      this.#refuse(header, error)
    }
    this.#over(call)
  }

  /** The client's further calls wait, as its calls are served in their order. */
  async #answerLater(header: Header, call: Call<Client>, outcome: Promise<StreamEnd | void>): Promise<void> {
    this.#link.input.hold('busy')
    try {
      const stream = await outcome
      if (this.#ended) stream?.over?.()
      else this.#answer(header, call, stream)
    } catch (error) {
      // It may have been given up because the client is gone.
      if (!this.#ended) this.#refuse(header, error)
    }
    this.#over(call)
    this.#link.input.release('busy')
  }

  #over(call: Call<Client>): void {
    // What nobody has passed on is of no use to anybody.
    for (const descriptor of call.descriptors) this.#host.closer.close(descriptor)
    if (!this.#ended) this.#host.service.answered(this.#client)
  }

  #answer(header: Header, { reply, replyDescriptors }: Call<Client>, stream: StreamEnd | void): void {
    if (replyDescriptors.length > 0) this.#replyWithDescriptors(header, reply, replyDescriptors)
    else this.#reply(header, reply)
    if (!stream) return
    this.#streams.add(header, stream)
    this.#streams.pumpAll()
  }

  #reply(header: Header, reply: XdrWriter): void {
    header.type = MESSAGE.reply
    header.status = STATUS.ok
    const body = reply.finish()
    const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length)
    writeHeader(frame, 0, frame.length, header)
    frame.set(body, HEADER_BYTES)
    this.#link.send(frame)
  }

  #replyWithDescriptors(header: Header, reply: XdrWriter, descriptors: readonly number[]): void {
    const body = new XdrWriter().u32(descriptors.length).finish()
    const payload = Buffer.concat([body, reply.finish()])
    const frame = encodeFrame({ ...header, type: MESSAGE.replyWithFds, status: STATUS.ok }, payload)
    this.#link.sendWithDescriptors(frame, descriptors)
  }

  #refuse(header: Header, error: unknown): void {
    this.#link.send(errorReply(header, this.#asRemote(error)))
  }

  #asRemote(error: unknown): RemoteError {
    if (error instanceof RemoteError) return error
    if (error instanceof XdrError) return undecodable()
    this.#host.service.failed(error)
    return internalError(error instanceof Error ? error.message : String(error))
  }
}
