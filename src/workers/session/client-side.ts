import type { KindTables } from '../../protocol/call-kinds.js'
import { errorReply, type RemoteError } from '../../protocol/errors.js'
import type { DISPOSITION, FrameReader } from '../../protocol/frame-reader.js'
import { STATUS, type Header } from '../../protocol/header.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { Timer, type Closable, type Timed } from '../base/clock.js'
import type { ReplySink } from '../driver/driver-port.js'
import { FrameWriter, type FrameSource } from '../framing/frame-writer.js'
import { Keepalive, type KeepalivePeer } from '../framing/keepalive.js'
import { FAMILIES, KEEPALIVE_RESULT, SIDE } from '../thread/metric-families.js'
import type { LossReason, Transport, TransportHandler } from '../transport/transport.js'
import { ClientFrames, type ClientConnection, type ClientServices } from './client-frames.js'
import type { SessionObserver } from '../thread/session-observer.js'
import { PAUSE, type ClientPort, type ClientUser } from './ports.js'
import type { UploadPath } from './upload-path.js'

/** Clients that log in send a few short frames, one after the other. */
const LOGIN_READ_BYTES = 4096

/** The connection to the client: what comes by it, what leaves by it, and when it is not read. */
export class ClientSide implements ClientPort, ClientConnection, ReplySink, TransportHandler, KeepalivePeer, Timed {
  readonly transport: Transport
  readonly reader: FrameReader
  readonly #services: ClientServices
  readonly #user: ClientUser
  readonly #frames: ClientFrames
  readonly #writer: FrameWriter
  readonly keepalive: Keepalive
  /** Who is told of what the broker answers itself. */
  observer: SessionObserver | undefined
  #pauses = 0
  /** Since when it is not read, and whom it waits for, of SIDE. */
  #pausedAt = 0
  #pausedFor: number = SIDE.client
  /** Made when it is first needed: most clients read what they asked for. */
  #stall: Timer | undefined
  /** Bytes that waited for the client when it was last looked at; 0 while it keeps up. */
  #stalledAt = 0

  constructor(services: ClientServices, user: ClientUser, transport: (handler: TransportHandler) => Transport) {
    const { clock, settings, observer } = services
    this.#services = services
    this.observer = observer
    this.#user = user
    this.transport = transport(this)
    this.#frames = new ClientFrames(services, user, this, this.transport)
    this.reader = this.#frames.reader
    if (user.standing.authenticating) this.transport.readAtMost(LOGIN_READ_BYTES)
    this.#writer = new FrameWriter(this.transport, this)
    this.keepalive = new Keepalive(clock, settings.keepalive, this)
    this.keepalive.heardAt = clock.now
  }

  get session(): Closable {
    return this.#user.session
  }

  /** By whose number descriptors are counted that go to it or come from it; undefined where none can. */
  get sender(): number | undefined {
    return this.transport.sender
  }

  get carriesDescriptors(): boolean {
    return this.sender !== undefined
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
    return this.#frames.splicePath
  }

  loggedIn(): void {
    this.transport.readAtMost(Infinity)
  }

  /** From now on it gets the frames that `source` passes on, and its calls are of these kinds. */
  connected(source: FrameSource, kinds: KindTables): void {
    this.#writer.relayFrom(source)
    this.#frames.use(kinds)
  }

  /** What was passed on to it is not finished, and never will be. */
  disconnected(): void {
    this.#writer.relayNoMore()
  }

  /** Begins to ask whether the client lives. */
  startPinging(): void {
    this.keepalive.startPinging()
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
      this.#pausedAt = this.#services.clock.now
      this.#pausedFor = why === PAUSE.driverFull || why === PAUSE.waitingFull ? SIDE.driver : SIDE.client
      this.#frames.input.hold()
      this.keepalive.peerPaused()
    } else this.#pauses |= why
  }

  resume(why: number): void {
    if ((this.#pauses & why) === 0) return
    this.#pauses &= ~why
    if (this.#pauses !== 0) return
    this.#countPause()
    this.#frames.input.release()
  }

  #countPause(): void {
    const { clock, counters } = this.#services
    counters.add(FAMILIES.backpressure, clock.now - this.#pausedAt, this.#pausedFor)
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
    if (this.#stalledAt === 0) clock.set((this.#stall ??= new Timer(this)), settings.clientStallTimeoutMs)
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

  answer(call: Header, body?: Buffer): void {
    this.observer?.answered(this.#user.record, call.prog, call.proc, STATUS.ok, 0, 0, call.serial)
    this.write(replyFrame(call, body))
  }

  fail(call: Header, error: RemoteError): void {
    this.observer?.refused(this.#user.record, call.prog, call.proc, error, call.serial)
    this.write(errorReply(call, error))
  }

  /** As `fail`; who is refused too often before he logs in is cut off. */
  refuse(call: Header, error: RemoteError): void {
    this.#frames.refuse(call, error)
  }

  /** It has still to take some of what it is to get. */
  get hasUnsent(): boolean {
    return this.inRelayedFrame || this.transport.pending > 0
  }

  /** Some of what it has sent is not judged, or a frame whose rest has not come. */
  get isBehind(): boolean {
    return this.#frames.input.isBehind
  }

  /** Takes no more calls from it, but what belongs to streams. */
  hearNoCalls(): void {
    this.#frames.hearNoCalls()
  }

  /** Takes no more from it. */
  hearNoMore(): void {
    this.reader.stop()
  }

  /** Closes it when all that it is owed is out, `reply` at the end. */
  end(reply: Buffer | undefined): void {
    this.hearNoMore()
    if (reply !== undefined) this.#writer.write(reply)
    this.#writer.end()
  }

  stop(): void {
    if (this.paused) this.#countPause()
    this.#frames.stop()
    this.keepalive.stop()
    this.#services.clock.cancel(this.#stall)
    this.transport.destroy()
  }

  // Transport

  received(bytes: Buffer, from: number, to: number): void {
    if (this.#user.standing.isNew) this.#user.events.arrived(to - from)
    this.#frames.input.received(bytes, from, to)
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#frames.arrivedDescriptors(descriptors)
  }

  drained(): void {
    this.#stalledAt = 0
    this.#services.clock.cancel(this.#stall)
    this.resume(PAUSE.clientFull)
    this.#user.events.taking(true)
  }

  ended(): void {
    this.#frames.input.ended()
  }

  lost(reason: LossReason): void {
    this.#user.events.clientLost(reason)
  }

  /** Makes a peer on the network that is gone altogether, and not only done with sending, answer with a reset. */
  probe(): void {
    if (this.#user.record.listener.transport !== 'unix') this.#writer.writeOnce(PONG_FRAME)
  }

  // Keepalive

  pinged(): void {
    this.keepalive.peerKnowsIt()
    const { counters, settings } = this.#services
    counters.add(FAMILIES.keepalive, 1, SIDE.client, KEEPALIVE_RESULT.answered)
    // From that many calls on libvirtd reads nothing before one of them is answered.
    const starved = this.#user.calls.outstanding >= settings.maxClientRequests
    if (starved) counters.add(FAMILIES.keepalive, 1, SIDE.client, KEEPALIVE_RESULT.wouldHaveStarved)
    if (!this.#writer.writeOnce(PONG_FRAME)) this.#notTaken()
  }

  ping(): void {
    this.#writer.writeOnce(PING_FRAME)
  }

  pong(): void {
    if (this.transport.pending === 0) this.#writer.writeOnce(PONG_FRAME)
  }

  missed(): void {
    this.#services.counters.add(FAMILIES.keepalive, 1, SIDE.client, KEEPALIVE_RESULT.missed)
  }

  dead(): void {
    this.#user.events.close('internal error: connection closed due to keepalive timeout', 'client-silent')
  }

  // Timed

  /** Whatever the client has read since the last time counts; nothing at all does not. */
  timeUp(timer: Timer): void {
    const { clock, settings } = this.#services
    const { pending } = this.transport
    if (pending >= this.#stalledAt) {
      return this.#user.events.close(`nothing read for ${settings.clientStallTimeoutMs / 1000} s`, 'client-stalled')
    }
    this.#stalledAt = pending
    clock.set(timer, settings.clientStallTimeoutMs)
  }
}
