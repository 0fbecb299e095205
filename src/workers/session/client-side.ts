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
  undecodable,
  type RemoteError
} from '../../protocol/errors.js'
import { DISPOSITION, type Disposition, type FrameReader } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
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
import { Timer, type Clock, type Closable, type Timed } from '../base/clock.js'
import { FrameInput, type FrameInputOwner } from '../framing/frame-input.js'
import { FrameWriter, type FrameSource } from '../framing/frame-writer.js'
import { Keepalive, type KeepalivePeer } from '../framing/keepalive.js'
import type { ReplySink } from '../driver/driver-port.js'
import type { ActorSettings } from '../thread/settings.js'
import type { Turns } from '../thread/turns.js'
import type { UnopenedMemory } from '../thread/unopened-memory.js'
import type { ThreadIo } from '../transport/polled.js'
import type { LossReason, Transport, TransportHandler } from '../transport/transport.js'
import type { ForeignCloser } from '../os/foreign-close.js'
import { CallsWithDescriptors, MAX_CALL_WITH_FDS_BYTES, MAX_REFUSED_CALL_WITH_FDS_BYTES, type DescriptorSender } from './calls-with-descriptors.js'
import { PAUSE, type ClientEvents, type ClientPort, type ClientUser } from './ports.js'
import { LEAST_SPLICED_BYTES, UploadPath } from './upload-path.js'

/** Clients that log in send a few short frames, one after the other. */
const LOGIN_READ_BYTES = 4096
/** A client that was refused so often before it logged in does not want to log in. */
const MAX_REFUSALS_BEFORE_LOGIN = 64

/** What a client's connection needs of its thread. */
export interface ClientServices {
  readonly clock: Clock
  readonly io: ThreadIo
  readonly turns: Turns
  readonly unopened: UnopenedMemory
  readonly settings: Pick<ActorSettings, 'keepalive' | 'clientStallTimeoutMs'>
}

/** The connection to the client: judges its frames, and answers those that go no further. */
export class ClientSide implements ClientPort, ReplySink, DescriptorSender, TransportHandler, FrameInputOwner, KeepalivePeer, Timed {
  readonly transport: Transport
  readonly reader: FrameReader
  readonly #services: ClientServices
  readonly #user: ClientUser
  readonly #input: FrameInput
  readonly #writer: FrameWriter
  readonly #keepalive: Keepalive
  /** Of what kinds the client's calls are, by what is kept from it. */
  #kinds: KindTables = PLAIN_KINDS
  /** Made when the first descriptor, or call that announces some, comes. */
  #fds: CallsWithDescriptors | undefined
  #upload: UploadPath | undefined
  #pauses = 0
  #refusals = 0
  /** Bytes that stand for this client in the thread's account of unopened connections. */
  #counted = 0
  readonly #stall = new Timer(this)
  /** Bytes that waited for the client when it was last looked at; 0 while it keeps up. */
  #stalledAt = 0

  constructor(services: ClientServices, user: ClientUser, transport: (handler: TransportHandler) => Transport) {
    const { clock, settings, turns } = services
    this.#services = services
    this.#user = user
    this.transport = transport(this)
    this.#input = new FrameInput(this, this.transport, turns)
    this.reader = this.#input.reader
    if (user.standing.authenticating) this.transport.readAtMost(LOGIN_READ_BYTES)
    this.#writer = new FrameWriter(this.transport, this)
    this.#keepalive = new Keepalive(clock, settings.keepalive, this)
    this.#keepalive.heardAt = clock.now
  }

  get session(): Closable {
    return this.#user.session
  }

  get events(): ClientEvents {
    return this.#user.events
  }

  get closer(): ForeignCloser {
    return this.#services.io.closer
  }

  get carriesDescriptors(): boolean {
    return this.transport.sender !== undefined
  }

  get inPassedFrame(): boolean {
    return this.reader.inPassedFrame
  }

  /** Some of a frame from its driver daemon is out, and the rest is not. */
  get inRelayedFrame(): boolean {
    return this.#writer.inRelayedFrame
  }

  /** While an upload goes on in long packets. */
  get splicePath(): UploadPath | undefined {
    return this.#upload
  }

  loggedIn(): void {
    this.transport.readAtMost(Infinity)
  }

  /** From now on it gets the frames that `source` passes on, and its calls are of these kinds. */
  connected(source: FrameSource, kinds: KindTables): void {
    this.#writer.relayFrom(source)
    this.#kinds = kinds
  }

  /** What was passed on to it is not finished, and never will be. */
  disconnected(): void {
    this.#writer.relayNoMore()
  }

  /** Begins to ask whether the client lives. */
  startPinging(): void {
    this.#keepalive.startPinging()
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
      this.#input.hold()
      this.#keepalive.peerPaused()
    } else this.#pauses |= why
  }

  resume(why: number): void {
    if ((this.#pauses & why) === 0) return
    this.#pauses &= ~why
    if (this.#pauses === 0) this.#input.release()
  }

  divert(to: typeof DISPOSITION.pass | typeof DISPOSITION.skip): void {
    this.reader.divert(to)
  }

  relay(bytes: Buffer, from: number, to: number): void {
    if (!this.#writer.relay(bytes, from, to)) this.#driverTooFast()
  }

  relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): void {
    if (!this.#writer.relayWithDescriptors(frame, descriptors)) this.#driverTooFast()
  }

  #driverTooFast(): void {
    this.#full()
    this.#user.events.taking(false)
  }

  /** The client does not take what it is sent: it gets no more answers, and not for ever. */
  #full(): void {
    this.pause(PAUSE.clientFull)
    const { clock, settings } = this.#services
    if (settings.clientStallTimeoutMs === 0) return
    if (this.#stalledAt === 0) clock.set(this.#stall, settings.clientStallTimeoutMs)
    this.#stalledAt = Math.max(this.#stalledAt, this.transport.pending)
  }

  /** A whole frame from the broker itself. */
  write(frame: Buffer): void {
    if (!this.#writer.write(frame)) this.#notTaken()
  }

  /** Either the client does not read, or a reply that its daemon does not finish stands in the way. */
  #notTaken(): void {
    if (this.#writer.crowded) this.pause(PAUSE.answersFull)
    else this.#full()
  }

  /** Takes no more from it. */
  hear(): void {
    this.reader.stop()
  }

  /** Closes it when all that it is owed is out, `reply` at the end. */
  end(reply: Buffer | undefined): void {
    this.hear()
    if (reply !== undefined) this.#writer.write(reply)
    this.#writer.end()
  }

  stop(): void {
    this.#input.stop()
    this.#countMemory(0)
    this.#keepalive.stop()
    this.#fds?.discard()
    this.#services.clock.cancel(this.#stall)
    this.transport.destroy()
  }

  // Transport

  received(bytes: Buffer, from: number, to: number): void {
    if (this.#user.standing.isNew) this.#user.events.arrived(to - from)
    this.#input.received(bytes, from, to)
  }

  judged(all: boolean): void {
    const offence = all && this.#fds !== undefined ? this.#offence(this.#fds) : undefined
    const { standing, events, calls } = this.#user
    if (offence !== undefined) events.close(offence, 'error')
    if (!calls.connected || this.#counted > 0) this.#countMemory(standing.hasOpened ? 0 : this.#input.keptBytes)
    calls.release()
  }

  #countMemory(bytes: number): void {
    if (bytes === this.#counted) return
    this.#counted = bytes
    this.#services.unopened.note(this.session, bytes)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#ownFds().arrived(descriptors)
  }

  /** Nobody needs to pass descriptors in order to log in. */
  #offence(fds: CallsWithDescriptors): string | undefined {
    return this.#user.standing.authenticating ? 'file descriptors before the login' : fds.offence()
  }

  drained(): void {
    this.#stalledAt = 0
    this.#services.clock.cancel(this.#stall)
    this.resume(PAUSE.clientFull)
    this.#user.events.taking(true)
  }

  ended(): void {
    this.#input.ended()
  }

  inputEnded(): void {
    this.#user.events.inputEnded()
  }

  lost(reason: LossReason): void {
    this.#user.events.clientLost(reason)
  }

  /** Makes a peer that is gone altogether, and not only done with sending, answer with a reset. */
  probe(): void {
    this.#writer.writeOnce(PONG_FRAME)
  }

  // Keepalive

  ping(): void {
    this.#writer.writeOnce(PING_FRAME)
  }

  pong(): void {
    if (this.transport.pending === 0) this.#writer.writeOnce(PONG_FRAME)
  }

  dead(): void {
    this.#user.events.close('internal error: connection closed due to keepalive timeout', 'error')
  }

  // Timed

  /** Whatever the client has read since the last time counts; nothing at all does not. */
  timeUp(): void {
    const { clock, settings } = this.#services
    const { pending } = this.transport
    if (pending >= this.#stalledAt) {
      return this.#user.events.close(`nothing read for ${settings.clientStallTimeoutMs / 1000} s`, 'warning')
    }
    this.#stalledAt = pending
    clock.set(this.#stall, settings.clientStallTimeoutMs)
  }

  // Frames

  head(bytes: Buffer, at: number, whole: boolean): Disposition {
    this.#keepalive.heardAt = this.#keepalive.clock.now
    const type = frameType(bytes, at)
    if (type === MESSAGE.call) {
      const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
      // The one path that nearly every frame takes.
      if (kind !== undefined && (kind & KIND_WORK) === 0 && this.#user.calls.connected && this.#plain(bytes, at)) {
        const disposition = this.#forward(bytes, at, kind, whole)
        if (disposition === DISPOSITION.hold) this.#input.spend()
        return disposition
      }
      this.#input.spend()
      return this.#unusualCall(bytes, at, kind, whole)
    }
    if (type === MESSAGE.stream || type === MESSAGE.streamHole) return this.#streamPacket(bytes, at)
    if (type === MESSAGE.callWithFds) return this.#callWithFdsHead(bytes, at)
    if (type === MESSAGE.event) this.#message(bytes, at)
    // REPLY, MESSAGE and unknown types are dropped without a word, as virtproxyd does.
    return DISPOSITION.skip
  }

  run(bytes: Buffer, from: number, to: number, disposition: Disposition): void {
    this.#user.calls.relay(bytes, from, to, disposition)
  }

  frame(bytes: Buffer, from: number, to: number, kind: CallKind): void {
    this.#input.spend(to - from)
    if (frameType(bytes, from) === MESSAGE.callWithFds) this.#ownFds().frame(bytes, from, to)
    else this.#user.events.collected(bytes, from, to, kind, [])
  }

  tail(count: number): void {
    this.#fds?.tail(count)
  }

  illegal(length: number): void {
    this.#user.events.close(`frame length ${length} is not legal`, 'error')
  }

  /** Known version and status OK. */
  #plain(bytes: Buffer, at: number): boolean {
    return frameVersion(bytes, at) === PROGRAM_VERSION && frameStatus(bytes, at) === STATUS.ok
  }

  refuse(call: Header, error: RemoteError): void {
    this.write(errorReply(call, error))
    if (!this.#user.standing.authenticating || ++this.#refusals < MAX_REFUSALS_BEFORE_LOGIN) return
    this.#user.events.close('too many calls that were refused before it logged in', 'warning')
  }

  #refuse(bytes: Buffer, at: number, error: RemoteError): Disposition {
    this.refuse(readHeader(bytes, at), error)
    return DISPOSITION.skip
  }

  /** Any call that is not simply passed on. */
  #unusualCall(bytes: Buffer, at: number, kind: CallKind | undefined, whole: boolean): Disposition {
    const refusal = this.#user.refusals.refusal(bytes, at, kind)
    if (refusal !== undefined || kind === undefined) return this.#refuse(bytes, at, refusal!)
    if ((kind & (KIND.local | KIND_LOOKED_INTO)) !== 0) {
      this.reader.note(kind)
      return this.#collect(bytes, at, mostArgumentBytes(kind))
    }
    return this.#forward(bytes, at, kind, whole)
  }

  #forward(bytes: Buffer, at: number, kind: CallKind, whole: boolean): Disposition {
    const disposition = this.#user.calls.forward(bytes, at, kind, whole)
    if (disposition === DISPOSITION.collect) this.reader.note(kind)
    return disposition
  }

  /** Longer arguments than any that decode are not kept. */
  #collect(bytes: Buffer, at: number, maxBytes: number): Disposition {
    return frameLength(bytes, at) <= HEADER_BYTES + maxBytes ? DISPOSITION.collect : this.#refuse(bytes, at, undecodable())
  }

  #ownFds(): CallsWithDescriptors {
    return (this.#fds ??= new CallsWithDescriptors(this))
  }

  /**
   * How many descriptors follow stands behind the header, so the frame is looked at whole, and judged then. Before the
   * client is in nothing is kept for it: descriptors that follow a refused call end the connection.
   */
  #callWithFdsHead(bytes: Buffer, at: number): Disposition {
    this.#input.spend()
    const { authenticating, hasOpened, failure } = this.#user.standing
    if (authenticating || failure !== undefined) {
      const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
      return this.#refuse(bytes, at, this.#user.refusals.refusal(bytes, at, kind) ?? failure ?? authenticationRequired())
    }
    const served = hasOpened && this.transport.sender !== undefined
    return this.#collect(bytes, at, served ? MAX_CALL_WITH_FDS_BYTES : MAX_REFUSED_CALL_WITH_FDS_BYTES)
  }

  /** libvirt never registers with descriptors, and the arguments would stand elsewhere. */
  judge(bytes: Buffer, at: number): CallKind | undefined {
    const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
    const refusal = this.#user.refusals.refusal(bytes, at, kind)
    if (refusal === undefined) return kind! & ~KIND.registration
    this.#refuse(bytes, at, refusal)
    return undefined
  }

  #streamPacket(bytes: Buffer, at: number): Disposition {
    const { calls, events } = this.#user
    const disposition = calls.packet(bytes, at)
    if (disposition === undefined) events.close('unexpected stream hole', 'error')
    else if (disposition === DISPOSITION.pass && frameLength(bytes, at) >= LEAST_SPLICED_BYTES) {
      this.#upload ??= new UploadPath(this.reader, calls, () => (this.#upload = undefined))
    }
    return disposition ?? DISPOSITION.skip
  }

  #message(bytes: Buffer, at: number): void {
    if (frameProgram(bytes, at) !== PROGRAM.keepalive || frameVersion(bytes, at) !== PROGRAM_VERSION) return
    if (frameProcedure(bytes, at) !== KEEPALIVE.ping) return
    this.#input.spend()
    this.#keepalive.peerKnowsIt()
    if (!this.#writer.writeOnce(PONG_FRAME)) this.#notTaken()
  }
}
