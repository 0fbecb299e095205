import {
  KIND,
  KIND_LOOKED_INTO,
  KIND_WORK,
  kindOf,
  mostArgumentBytes,
  PLAIN_KINDS,
  type CallKind,
  type KindTables
} from '../../protocol/call-kinds.js'
import {
  authenticationRequired,
  errorReply,
  rpcError,
  undecodable,
  unexpectedStatus,
  unknownProgram,
  type RemoteError
} from '../../protocol/errors.js'
import { DISPOSITION, type Disposition, type FrameReader } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
  frameSerial,
  frameStatus,
  frameType,
  frameVersion,
  HEADER_BYTES,
  MESSAGE,
  PROGRAM,
  PROGRAM_VERSION,
  readHeader,
  STATUS,
  type Header
} from '../../protocol/header.js'
import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { KEEPALIVE } from '../../protocol/procedures.js'
import { Timer, type Timed } from '../base/clock.js'
import type { LossReason, Transport, TransportHandler } from '../transport/transport.js'
import type { ClientSession } from './client-session.js'
import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import { FrameInput, type FrameInputOwner } from '../thread/frame-input.js'
import { Keepalive, type KeepalivePeer } from './keepalive.js'
import { FrameWriter } from './frame-writer.js'
import { LEAST_SPLICED_BYTES, UploadPath } from './upload-path.js'

/** Why the client is not read for now; any number of these at once. */
export const PAUSE = { driverFull: 1, clientFull: 2, waitingFull: 4, answersFull: 8 } as const

/** An XML description and its descriptors. Where none can be served, such a call is only collected to be refused. */
const MAX_CALL_WITH_FDS_BYTES = 8 * 1024 * 1024
const MAX_REFUSED_CALL_WITH_FDS_BYTES = 64 * 1024
/** Clients that log in send a few short frames, one after the other. */
const LOGIN_READ_BYTES = 4096
/** A client that was refused so often before it logged in does not want to log in. */
const MAX_REFUSALS_BEFORE_LOGIN = 64

/** The connection to the client: judges its frames, and answers those that go no further. */
export class ClientSide implements TransportHandler, FrameInputOwner, KeepalivePeer, Timed {
  readonly transport: Transport
  readonly input: FrameInput
  readonly reader: FrameReader
  readonly writer: FrameWriter
  readonly keepalive: Keepalive
  /** Of what kinds the client's calls are, by what is kept from it. */
  kinds: KindTables = PLAIN_KINDS
  /** Made when the first descriptor, or call that announces some, comes. */
  #passing: DescriptorPassing | undefined
  /** While an upload goes on in long packets. */
  splicePath: UploadPath | undefined
  #pauses = 0
  #refusals = 0
  /** Bytes that stand for this client in the thread's account of unopened connections. */
  #counted = 0
  readonly #stall = new Timer(this)
  /** Bytes that waited for the client when it was last looked at; 0 while it keeps up. */
  #stalledAt = 0

  constructor(
    readonly session: ClientSession,
    transport: (handler: TransportHandler) => Transport
  ) {
    const { clock, settings, turns } = session.actor
    this.transport = transport(this)
    this.input = new FrameInput(this, this.transport, turns)
    this.reader = this.input.reader
    if (session.state === 'authenticating') this.transport.readAtMost(LOGIN_READ_BYTES)
    this.writer = new FrameWriter(this.transport, this)
    this.keepalive = new Keepalive(clock, settings.keepalive, this)
    this.keepalive.heardAt = clock.now
  }

  loggedIn(): void {
    this.transport.readAtMost(Infinity)
  }

  /** The broker's own answers that had to wait are out. */
  room(): void {
    this.resume(PAUSE.answersFull)
  }

  get paused(): boolean {
    return this.#pauses !== 0
  }

  pause(why: number): void {
    if (this.#pauses === 0) {
      this.#pauses = why
      this.input.hold()
      this.keepalive.peerPaused()
    } else this.#pauses |= why
  }

  resume(why: number): void {
    if ((this.#pauses & why) === 0) return
    this.#pauses &= ~why
    if (this.#pauses === 0) this.input.release()
  }

  /** The client does not take what it is sent: it gets no more answers, and not for ever. */
  full(): void {
    this.pause(PAUSE.clientFull)
    const { clock, settings } = this.session.actor
    if (settings.clientStallTimeoutMs === 0) return
    if (this.#stalledAt === 0) clock.set(this.#stall, settings.clientStallTimeoutMs)
    this.#stalledAt = Math.max(this.#stalledAt, this.transport.pending)
  }

  /** A whole frame from the broker itself. */
  write(frame: Buffer): void {
    if (!this.writer.write(frame)) this.#notTaken()
  }

  /** Either the client does not read, or a reply that its daemon does not finish stands in the way. */
  #notTaken(): void {
    if (this.writer.crowded) this.pause(PAUSE.answersFull)
    else this.full()
  }

  stop(): void {
    this.input.stop()
    this.#countMemory(0)
    this.keepalive.stop()
    this.#passing?.discard()
    this.session.actor.clock.cancel(this.#stall)
    this.transport.destroy()
  }

  // Transport

  received(bytes: Buffer, from: number, to: number): void {
    if (this.session.newcomer !== undefined) this.session.newcomerSends(to - from)
    this.input.received(bytes, from, to)
  }

  judged(all: boolean): void {
    const offence = all && this.#passing !== undefined ? this.#offence(this.#passing) : undefined
    if (offence !== undefined) this.session.close(offence, 'error')
    if (this.session.state !== 'open' || this.#counted > 0) {
      this.#countMemory(this.session.hasOpened ? 0 : this.input.keptBytes)
    }
    this.session.flow.release()
  }

  #countMemory(bytes: number): void {
    if (bytes === this.#counted) return
    this.#counted = bytes
    this.session.actor.unopened.note(this.session, bytes)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#ownPassing().arrived(descriptors)
  }

  /** Nobody needs to pass descriptors in order to log in. */
  #offence(passing: DescriptorPassing): string | undefined {
    return this.session.state === 'authenticating' ? 'file descriptors before the login' : passing.offence()
  }

  drained(): void {
    this.#stalledAt = 0
    this.session.actor.clock.cancel(this.#stall)
    this.resume(PAUSE.clientFull)
    this.session.clientTakesMore()
  }

  ended(): void {
    this.input.ended()
  }

  inputEnded(): void {
    this.session.inputEnded()
  }

  lost(reason: LossReason): void {
    this.session.clientLost(reason)
  }

  /** Makes a peer that is gone altogether, and not only done with sending, answer with a reset. */
  probe(): void {
    if (this.session.record.listener.transport !== 'unix') this.writer.writeOnce(PONG_FRAME)
  }

  // Keepalive

  ping(): void {
    this.writer.writeOnce(PING_FRAME)
  }

  pong(): void {
    if (this.transport.pending === 0) this.writer.writeOnce(PONG_FRAME)
  }

  dead(): void {
    this.session.close('internal error: connection closed due to keepalive timeout', 'error')
  }

  // Timed

  /** Whatever the client has read since the last time counts; nothing at all does not. */
  timeUp(): void {
    const { clock, settings } = this.session.actor
    const { pending } = this.transport
    if (pending >= this.#stalledAt) {
      return this.session.close(`nothing read for ${settings.clientStallTimeoutMs / 1000} s`, 'warning')
    }
    this.#stalledAt = pending
    clock.set(this.#stall, settings.clientStallTimeoutMs)
  }

  // Frames

  head(bytes: Buffer, at: number): Disposition {
    this.keepalive.heardAt = this.keepalive.clock.now
    const type = frameType(bytes, at)
    if (type === MESSAGE.call) {
      const prog = frameProgram(bytes, at)
      const proc = frameProcedure(bytes, at)
      const kind = kindOf(this.kinds, prog, proc)
      // The one path that nearly every frame takes.
      if (kind !== undefined && (kind & KIND_WORK) === 0 && this.session.state === 'open' && this.#plain(bytes, at)) {
        const disposition = this.session.flow.forward(prog, proc, frameSerial(bytes, at), kind, frameLength(bytes, at))
        if (disposition === DISPOSITION.hold) this.input.spend()
        return disposition
      }
      this.input.spend()
      return this.#unusualCall(bytes, at, kind)
    }
    if (type === MESSAGE.stream || type === MESSAGE.streamHole) return this.#streamPacket(bytes, at, type)
    if (type === MESSAGE.callWithFds) return this.#callWithFdsHead(bytes, at)
    if (type === MESSAGE.event) this.#message(bytes, at)
    // REPLY, MESSAGE and unknown types are dropped without a word, as virtproxyd does.
    return DISPOSITION.skip
  }

  run(bytes: Buffer, from: number, to: number, disposition: Disposition): void {
    this.session.flow.relay(bytes, from, to, disposition)
  }

  frame(bytes: Buffer, from: number, to: number, kind: CallKind): void {
    this.input.spend(to - from)
    if (frameType(bytes, from) === MESSAGE.callWithFds) this.#callWithFds(bytes, from, to)
    else this.session.flow.collected(bytes, from, to, kind)
  }

  tail(count: number): void {
    this.#passing?.tail(count)
  }

  illegal(length: number): void {
    this.session.close(`frame length ${length} is not legal`, 'error')
  }

  /** Known version and status OK. */
  #plain(bytes: Buffer, at: number): boolean {
    return frameVersion(bytes, at) === PROGRAM_VERSION && frameStatus(bytes, at) === STATUS.ok
  }

  refuse(call: Header, error: RemoteError): void {
    this.write(errorReply(call, error))
    if (this.session.state !== 'authenticating' || ++this.#refusals < MAX_REFUSALS_BEFORE_LOGIN) return
    this.session.close('too many calls that were refused before it logged in', 'warning')
  }

  #refuse(bytes: Buffer, at: number, error: RemoteError): Disposition {
    this.refuse(readHeader(bytes, at), error)
    return DISPOSITION.skip
  }

  /** Why a call goes no further, if so. The checks come in the order of libvirt's dispatcher. */
  #refusal(bytes: Buffer, at: number, kind: CallKind | undefined): RemoteError | undefined {
    const prog = frameProgram(bytes, at)
    const vers = frameVersion(bytes, at)
    if (kind === undefined || vers !== PROGRAM_VERSION) return unknownProgram(prog, vers)
    const status = frameStatus(bytes, at)
    if (status !== STATUS.ok) return unexpectedStatus(status)
    return this.session.refusal(prog, frameProcedure(bytes, at), kind)
  }

  /** Any call that is not simply passed on. */
  #unusualCall(bytes: Buffer, at: number, kind: CallKind | undefined): Disposition {
    const refusal = this.#refusal(bytes, at, kind)
    if (refusal !== undefined || kind === undefined) return this.#refuse(bytes, at, refusal!)
    if ((kind & (KIND.local | KIND_LOOKED_INTO)) !== 0) {
      this.reader.note(kind)
      return this.#collect(bytes, at, mostArgumentBytes(kind))
    }
    const prog = frameProgram(bytes, at)
    const proc = frameProcedure(bytes, at)
    return this.session.flow.forward(prog, proc, frameSerial(bytes, at), kind, frameLength(bytes, at))
  }

  /** Longer arguments than any that decode are not kept. */
  #collect(bytes: Buffer, at: number, maxBytes: number): Disposition {
    return frameLength(bytes, at) <= HEADER_BYTES + maxBytes ? DISPOSITION.collect : this.#refuse(bytes, at, undecodable())
  }

  #ownPassing(): DescriptorPassing {
    this.#passing ??= new DescriptorPassing(this.reader, this.session.actor.io.closer, (frame, descriptors) =>
      this.#judged(frame, 0, frame.length, descriptors)
    )
    return this.#passing
  }

  /**
   * How many descriptors follow stands behind the header, so the frame is looked at whole, and judged then. Before the
   * client is in nothing is kept for it: descriptors that follow a refused call end the connection.
   */
  #callWithFdsHead(bytes: Buffer, at: number): Disposition {
    this.input.spend()
    const { state, hasOpened, failure } = this.session
    if (state === 'authenticating' || failure !== undefined) {
      const kind = kindOf(this.kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
      return this.#refuse(bytes, at, this.#refusal(bytes, at, kind) ?? failure ?? authenticationRequired())
    }
    const served = hasOpened && this.transport.sender !== undefined
    return this.#collect(bytes, at, served ? MAX_CALL_WITH_FDS_BYTES : MAX_REFUSED_CALL_WITH_FDS_BYTES)
  }

  #callWithFds(bytes: Buffer, from: number, to: number): void {
    const count = DescriptorPassing.announced(bytes, from, to)
    if (count === 0) return this.#judged(bytes, from, to, [])
    if (count === undefined) return this.session.close('too many file descriptors announced', 'error')
    if (this.transport.sender !== undefined) return this.#ownPassing().expect(bytes, from, to, count)
    // Where the next frame begins is not certain any more.
    const error = rpcError('file descriptors cannot be passed over this connection')
    this.session.closeInOrder(errorReply(readHeader(bytes, from), error))
  }

  /** A call that has come whole, with its descriptors. */
  #judged(bytes: Buffer, from: number, to: number, descriptors: readonly number[]): void {
    const kind = kindOf(this.kinds, frameProgram(bytes, from), frameProcedure(bytes, from))
    const refusal = this.#refusal(bytes, from, kind)
    // libvirt never registers with descriptors, and the arguments would stand elsewhere.
    if (refusal === undefined) return this.session.flow.collected(bytes, from, to, kind! & ~KIND.registration, descriptors)
    this.session.flow.closeDescriptors(descriptors)
    this.#refuse(bytes, from, refusal)
  }

  #streamPacket(bytes: Buffer, at: number, type: number): Disposition {
    const session = this.session
    const stream = session.state === 'open' ? session.streams.get(frameSerial(bytes, at)) : undefined
    if (!stream?.open) return DISPOSITION.skip
    if (frameStatus(bytes, at) !== STATUS.continue) stream.finishing = true
    if (type === MESSAGE.streamHole && !stream.sparse) {
      // It deadlocks virtproxyd, and makes libvirtd close the connection.
      session.close('unexpected stream hole', 'error')
      return DISPOSITION.skip
    }
    if (frameLength(bytes, at) >= LEAST_SPLICED_BYTES) this.splicePath ??= new UploadPath(this)
    return DISPOSITION.pass
  }

  #message(bytes: Buffer, at: number): void {
    if (frameProgram(bytes, at) !== PROGRAM.keepalive || frameVersion(bytes, at) !== PROGRAM_VERSION) return
    if (frameProcedure(bytes, at) !== KEEPALIVE.ping) return
    this.input.spend()
    this.keepalive.peerKnowsIt()
    if (!this.writer.writeOnce(PONG_FRAME)) this.#notTaken()
  }
}
