import { driverClosed } from '../../protocol/broker-errors.js'
import { rpcError, type RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
  frameSerial,
  frameStatus,
  frameType,
  MESSAGE,
  PROGRAM,
  STATUS
} from '../../protocol/header.js'
import { CLOSE_REASON, encodeFeature, FEATURE } from '../../protocol/messages/connect.js'
import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { hasPriority, KEEPALIVE, REMOTE } from '../../protocol/procedures.js'
import type { Closable } from '../base/clock.js'
import { FrameInput, type FrameInputOwner } from '../framing/frame-input.js'
import { FrameWriter, type FrameSource } from '../framing/frame-writer.js'
import { Keepalive, type KeepalivePeer } from '../framing/keepalive.js'
import { tellClose } from '../observe/driver-channels.js'
import { connectionReport, type ConnectionReport } from '../thread/driver-report.js'
import { FAMILIES, KEEPALIVE_RESULT, SIDE } from '../thread/metric-families.js'
import type { LossReason, TransportHandler } from '../transport/transport.js'
import type { ConnectionServices, DriverTransport } from './connection-services.js'
import { LEGAL, type ConnectionState } from './connection-state.js'
import { lossError, silenceError } from './driver-loss.js'
import type { DriverPort, DriverUser } from './driver-port.js'
import type { DriverLink } from './driver-links.js'
import { answersClose, CLOSE_FRAME, OrderlyClose } from './orderly-close.js'
import { OwnCalls } from './own-calls.js'
import { RepliesWithDescriptors } from './replies-with-descriptors.js'

/** An own call's reply is a few hundred bytes, and so is an error's text; a daemon that sends more is not listened to. */
const MAX_OWN_REPLY_BYTES = 64 * 1024
/** As for calls with descriptors. */
const MAX_REPLY_WITH_FDS_BYTES = 8 * 1024 * 1024
/** Up to here a frame is passed on when it has come to its end, so that the client never waits for the rest of it. */
export const MAX_KEPT_BYTES = 1024 * 1024

/**
 * A connection to a driver daemon that one session has for itself: frames that come from there, and the broker's own
 * calls to it. One for each CONNECT_OPEN.
 */
export class DriverConnection implements DriverPort, DriverLink, TransportHandler, FrameInputOwner, KeepalivePeer {
  readonly writer: FrameWriter
  readonly number: number
  readonly #services: ConnectionServices
  readonly #user: DriverUser
  readonly #transport: DriverTransport
  readonly #input: FrameInput
  readonly #keepalive: Keepalive
  /** Nearly always none. */
  #own: OwnCalls | undefined
  /** What own calls fail with once it is closed. */
  #ended: RemoteError | undefined
  #state: ConnectionState = 'opening'
  /** Calls of the session's that the daemon has and has not answered. */
  #out = 0
  /** Made when the first descriptor, or reply that announces some, comes. */
  #fds: RepliesWithDescriptors | undefined
  /** Set while frames are being read: the connection is given up when the chunk is through. */
  #violation: string | undefined
  /** It wants to know whether we live. However often it has asked in one read, it is told once. */
  #pinged = false
  #paused = false
  #keepaliveAsked = false
  /** While it takes leave. */
  #closing: OrderlyClose | undefined

  constructor(
    services: ConnectionServices,
    user: DriverUser,
    transport: (handler: TransportHandler) => DriverTransport
  ) {
    const { clock, settings, turns } = services
    this.#services = services
    this.#user = user
    this.#transport = transport(this)
    this.#input = new FrameInput(this, this.#transport, turns)
    this.writer = new FrameWriter(this.#transport)
    this.writer.relayFrom(user.relayed)
    this.#keepalive = new Keepalive(clock, settings.keepalive, this)
    this.#keepalive.heardAt = clock.now
    this.number = services.links.opened(this)
  }

  get session(): Closable {
    return this.#user.session
  }

  /** Where the frames come from that are relayed to the client. */
  get source(): FrameSource {
    return this.#input.reader
  }

  /** Calls the daemon on the broker's behalf. Rejects with the daemon's error, or with the connection's. */
  call(proc: number, args?: Buffer, prog: number = PROGRAM.remote): Promise<Buffer> {
    // Whoever makes several, one after the other, makes the next without having heard of the end.
    if (this.#state === 'closed') return Promise.reject(this.#ended!)
    this.#own ??= new OwnCalls(this.writer)
    return this.#own.call(proc, args, prog)
  }

  /** The name is open there: from now on the daemon is looked after. */
  opened(): void {
    this.#keepalive.startPinging()
  }

  /** The session uses it from now on, and hears of its loss. False: it is lost already. */
  serve(): boolean {
    return this.#become('serving')
  }

  // DriverLink

  get traffic(): DriverTransport {
    return this.#transport
  }

  report(): ConnectionReport | undefined {
    const use = this.#state === 'serving' ? this.#user.use() : undefined
    return use && connectionReport(this.number, this.#services.settings.driverMaxRequests, use)
  }

  // DriverPort

  /**
   * Past its own `max_client_requests` a daemon stops reading, keepalive included. A call that waits for no hypervisor,
   * and comes back at once, may go one beyond the window: the daemon has other workers for it.
   */
  begin(bytes: Buffer, at: number): Disposition {
    const { driverMaxRequests } = this.#services.settings
    const beyond = this.#out - driverMaxRequests
    if (beyond > 0 || (beyond === 0 && !hasPriority(frameProgram(bytes, at), frameProcedure(bytes, at)))) return DISPOSITION.hold
    this.#out++
    return DISPOSITION.pass
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#input.hold()
    this.#keepalive.peerPaused()
  }

  resume(): void {
    this.#paused = false
    this.#input.release()
  }

  /** In order, if there is room: a daemon logs an error for each connection that ends otherwise. */
  leave(): void {
    const { clock, leaving } = this.#services
    if (!LEGAL[this.#state].includes('leaving') || !leaving.enter()) return this.close()
    this.#become('leaving')
    this.#closing = new OrderlyClose(this, clock, leaving.left)
    this.#keepalive.stop()
    this.#transport.expectEnd()
    this.resume()
    this.writer.write(CLOSE_FRAME)
  }

  close(): void {
    this.end()
  }

  /** Closes it without a word to the session. Own calls are rejected. */
  end(error: RemoteError = driverClosed(), lost = false): void {
    if (!this.#become('closed')) return
    tellClose(this.number, lost, error)
    this.#ended = error
    this.#services.links.closed(this)
    this.#keepalive.stop()
    this.#input.stop()
    this.#transport.destroy()
    this.#fds?.passing.discard()
    this.#own?.abandon(error)
    this.#closing?.end()
  }

  #become(state: ConnectionState): boolean {
    if (!LEGAL[this.#state].includes(state)) return false
    this.#state = state
    return true
  }

  /** Of a daemon that is being opened its loss is seen by the failure of the calls that open it. */
  #lose(error: RemoteError, reason: number): void {
    const serving = this.#state === 'serving'
    const cut = this.#input.reader.inPassedFrame
    this.end(error, true)
    if (serving) this.#user.driverEvents.driverLost(this, error, reason, cut)
  }

  // Transport

  received(bytes: Buffer, from: number, to: number): void {
    this.#input.received(bytes, from, to)
  }

  judged(all: boolean): void {
    const offence = all ? this.#fds?.passing.offence() : undefined
    if (offence !== undefined) this.#violate(offence)
    if (this.#violation !== undefined) {
      const what = `driver daemon broke the protocol: ${this.#violation}`
      this.#user.driverEvents.driverViolated(what)
      return this.#lose(rpcError(what), CLOSE_REASON.endOfFile)
    }
    if (this.#pinged) {
      this.#pinged = false
      this.#services.counters.add(FAMILIES.keepalive, 1, SIDE.driver, KEEPALIVE_RESULT.answered)
      this.pong()
    }
    if (this.#state === 'serving') this.#user.driverEvents.driverJudged()
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#withDescriptors().passing.arrived(descriptors)
  }

  drained(): void {
    if (this.#state === 'serving') this.#user.driverEvents.driverDrained()
  }

  ended(): void {
    this.#input.ended()
  }

  inputEnded(): void {
    this.lost({ errno: 0 })
  }

  lost({ errno }: LossReason): void {
    // Nobody is told, and an error takes its time to be made.
    if (this.#state === 'leaving') return this.close()
    this.#lose(lossError(errno), CLOSE_REASON.endOfFile)
  }

  // Keepalive

  /** One that has a call beyond its window may have stopped reading, and then it answers no ping. */
  get paused(): boolean {
    return this.#paused || this.#out > this.#services.settings.driverMaxRequests
  }

  /** Before the first ping the daemon is told that we speak keepalive, so that it looks after us too. */
  ping(): void {
    if (!this.#keepaliveAsked) {
      this.#keepaliveAsked = true
      // Whatever it answers: to a ping it has to.
      this.call(REMOTE.connectSupportsFeature, encodeFeature(FEATURE.keepalive)).catch(() => undefined)
    }
    this.writer.writeOnce(PING_FRAME)
  }

  /** What is queued for the daemon already shows it that we live, so that it cannot make the queue grow with pings. */
  pong(): void {
    if (this.#transport.pending === 0) this.writer.writeOnce(PONG_FRAME)
  }

  missed(): void {
    this.#services.counters.add(FAMILIES.keepalive, 1, SIDE.driver, KEEPALIVE_RESULT.missed)
  }

  dead(): void {
    this.#lose(silenceError(), CLOSE_REASON.keepalive)
  }

  // Frames

  head(bytes: Buffer, at: number, whole: boolean): Disposition {
    this.#keepalive.heardAt = this.#keepalive.clock.now
    if (this.#violation !== undefined) return DISPOSITION.skip
    if (frameProgram(bytes, at) === PROGRAM.keepalive) return this.#keepaliveFrame(frameProcedure(bytes, at))
    const type = frameType(bytes, at)
    switch (type) {
      case MESSAGE.stream:
        // What a packet says does not depend on where it is cut, as long as none is empty: that would be the data's end.
        return frameStatus(bytes, at) === STATUS.continue ? this.#streamPacket(bytes, at) : this.#uncut(bytes, at, type, whole)
      case MESSAGE.reply:
      case MESSAGE.event:
      case MESSAGE.streamHole:
        return this.#uncut(bytes, at, type, whole)
      case MESSAGE.replyWithFds:
        return frameLength(bytes, at) > MAX_REPLY_WITH_FDS_BYTES ? this.#violate('reply too long') : DISPOSITION.collect
      default:
        return this.#violate(`frame of type ${type}`)
    }
  }

  run(bytes: Buffer, from: number, to: number): void {
    this.#user.replies.relay(bytes, from, to)
  }

  frame(bytes: Buffer, from: number, to: number): void {
    this.#input.spend()
    const type = frameType(bytes, from)
    if (type === MESSAGE.replyWithFds) this.#withDescriptors().frame(bytes, from, to)
    else if (this.#judge(bytes, from, type, true) === DISPOSITION.pass) this.run(bytes, from, to)
  }

  tail(count: number): void {
    this.#fds?.passing.tail(count)
  }

  illegal(length: number): void {
    this.#violate(`frame of ${length} bytes`)
  }

  /** A frame that cannot be cut: nothing of it goes on before it has come whole, unless it is too long to wait for. */
  #uncut(bytes: Buffer, at: number, type: number, whole: boolean): Disposition {
    const length = frameLength(bytes, at)
    if (!whole && length <= MAX_KEPT_BYTES) return DISPOSITION.collect
    // A header that came in two pieces does not stand before the rest.
    return this.#judge(bytes, at, type, whole && at + length <= bytes.length)
  }

  #judge(bytes: Buffer, at: number, type: number, here: boolean): Disposition {
    if (type === MESSAGE.reply) return this.#reply(bytes, at, here)
    if (type !== MESSAGE.event) return this.#streamPacket(bytes, at)
    const { judge } = this.#user
    const disposition = judge.event(bytes, at, false)
    if (disposition !== DISPOSITION.collect || !here) return disposition
    this.#input.spend()
    return judge.event(bytes, at, true)
  }

  #reply(bytes: Buffer, at: number, here: boolean): Disposition {
    if (this.#own?.has(frameSerial(bytes, at), frameProcedure(bytes, at))) return this.#ownReply(bytes, at, here)
    if (this.#state === 'leaving' && answersClose(frameProcedure(bytes, at), frameSerial(bytes, at))) {
      this.close()
      return DISPOSITION.skip
    }
    let disposition = this.#settle(bytes, at, false)
    if (disposition === DISPOSITION.collect && here) {
      this.#input.spend()
      disposition = this.#settle(bytes, at, true)
    }
    // A hole that the daemon cannot make (its disk is full) is answered like a call, though it was none.
    return disposition ?? this.#user.judge.streamPacket(bytes, at) ?? this.#answersNothing(bytes, at)
  }

  #settle(bytes: Buffer, at: number, whole: boolean): Disposition | undefined {
    const disposition = this.#user.judge.replied(bytes, at, whole)
    if (disposition !== undefined && disposition !== DISPOSITION.collect) this.#out--
    return disposition
  }

  #ownReply(bytes: Buffer, at: number, here: boolean): Disposition {
    const length = frameLength(bytes, at)
    if (length > MAX_OWN_REPLY_BYTES) return this.#violate('reply too long')
    if (!here) return DISPOSITION.collect
    this.#input.spend()
    this.#own!.answered(bytes, at, at + length)
    if (this.#own!.none) this.#own = undefined
    return DISPOSITION.skip
  }

  #withDescriptors(): RepliesWithDescriptors {
    this.#fds ??= new RepliesWithDescriptors({
      reader: this.#input.reader,
      closer: this.#services.io.closer,
      receives: this.#transport.sender !== undefined,
      replies: this.#user.replies,
      judge: frame => {
        const own = this.#own?.has(frameSerial(frame, 0), frameProcedure(frame, 0)) === true
        return own ? DISPOSITION.collect : (this.#settle(frame, 0, false) ?? this.#answersNothing(frame, 0))
      },
      violate: what => void this.#violate(what)
    })
    return this.#fds
  }

  #streamPacket(bytes: Buffer, at: number): Disposition {
    return this.#user.judge.streamPacket(bytes, at) ?? DISPOSITION.skip
  }

  #keepaliveFrame(proc: number): Disposition {
    this.#input.spend()
    if (proc === KEEPALIVE.ping) this.#pinged = true
    return DISPOSITION.skip
  }

  #answersNothing(bytes: Buffer, at: number): Disposition {
    return this.#violate(`reply to no call (serial ${frameSerial(bytes, at)})`)
  }

  #violate(what: string): Disposition {
    this.#violation ??= what
    return DISPOSITION.skip
  }
}
