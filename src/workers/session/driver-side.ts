import { KIND, KIND_REPLY, type CallKind } from '../../protocol/call-kinds.js'
import { errorReply, rpcError, systemError, type RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition, type FrameReader } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
  frameSerial,
  frameStatus,
  frameType,
  MESSAGE,
  PROGRAM,
  putFrameType,
  readHeader,
  STATUS
} from '../../protocol/header.js'
import { CLOSE_REASON, encodeFeature, FEATURE } from '../../protocol/messages/connect.js'
import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { KEEPALIVE, procedureName, REMOTE } from '../../protocol/procedures.js'
import { SOURCE } from '../base/log.js'
import { ECONNRESET, EIO, EPIPE, errorText } from '../os/libc.js'
import { PolledTransport } from '../transport/polled.js'
import type { LossReason, TransportHandler } from '../transport/transport.js'
import type { ClientSession } from './client-session.js'
import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import { FrameInput, type FrameInputOwner } from '../thread/frame-input.js'
import { Keepalive, type KeepalivePeer } from './keepalive.js'
import { FrameWriter } from './frame-writer.js'
import { answersClose, CLOSE_FRAME, OrderlyClose } from './orderly-close.js'
import { OwnCalls } from './own-calls.js'

/** An own call's reply is a few hundred bytes, and so is an error's text; a daemon that sends more is not listened to. */
const MAX_OWN_REPLY_BYTES = 64 * 1024
/** As for calls with descriptors, and for replies that are looked into. */
const MAX_COLLECTED_BYTES = 8 * 1024 * 1024
/** Up to here a frame is passed on when it has come to its end, so that the client never waits for the rest of it. */
const MAX_KEPT_BYTES = 1024 * 1024

/**
 * The connection to the client's driver daemon: frames that come from there, and the broker's own calls to it. One for
 * each CONNECT_OPEN; it never outlives its session.
 */
export class DriverSide implements TransportHandler, FrameInputOwner, KeepalivePeer {
  readonly transport: PolledTransport
  readonly input: FrameInput
  readonly reader: FrameReader
  readonly writer: FrameWriter
  readonly keepalive: Keepalive
  readonly #own: OwnCalls
  #passing: DescriptorPassing | undefined
  /** Set while frames are being read: the connection is given up when the chunk is through. */
  #violation: string | undefined
  /** A reply has come, so a call that waits may go. */
  #replied = false
  /** It wants to know whether we live. However often it has asked in one read, it is told once. */
  #pinged = false
  #paused = false
  #keepaliveAsked = false
  /** CONNECT_OPEN has succeeded. */
  opened = false
  /** Set while it takes leave. */
  #closing: OrderlyClose | undefined

  constructor(
    readonly session: ClientSession,
    fd: number
  ) {
    const { io, clock, settings, turns } = session.actor
    // Descriptors are asked for only where the client can get them: it costs a little on every read.
    const { sender } = session.client.transport
    this.transport = new PolledTransport(io, fd, this, { daemon: true, sender })
    this.input = new FrameInput(this, this.transport, turns)
    this.reader = this.input.reader
    this.writer = new FrameWriter(this.transport)
    this.#own = new OwnCalls(this.writer)
    this.keepalive = new Keepalive(clock, settings.keepalive, this)
    this.keepalive.heardAt = clock.now
  }

  /** One that has a call beyond its window may have stopped reading, and then it answers no ping. */
  get paused(): boolean {
    return this.#paused || this.session.flow.beyondWindow
  }

  /** Calls the daemon on the broker's behalf. Rejects with the daemon's error, or with the connection's. */
  call(proc: number, args?: Buffer, prog: number = PROGRAM.remote): Promise<Buffer> {
    return this.#own.call(proc, args, prog)
  }

  /** Stops reading from the daemon while its client takes no more. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.input.hold()
    this.keepalive.peerPaused()
  }

  resume(): void {
    this.#paused = false
    this.input.release()
  }

  /**
   * Takes leave of the daemon, which logs an error for each connection that ends otherwise. `left` is called when the
   * connection is closed: in a moment, or soon if the daemon has no time. There must be no calls and streams any more.
   */
  leave(left: () => void): void {
    this.#closing = new OrderlyClose(this, this.session.actor.clock, left)
    this.keepalive.stop()
    this.transport.expectEnd()
    this.resume()
    this.writer.write(CLOSE_FRAME)
  }

  /** Ends it without a word to the session. Own calls are rejected. */
  close(error?: RemoteError): void {
    const closing = this.#closing
    this.#closing = undefined
    this.keepalive.stop()
    this.input.stop()
    this.transport.destroy()
    this.#passing?.discard()
    this.#own.abandon(error)
    closing?.end()
  }

  // Transport

  received(bytes: Buffer, from: number, to: number): void {
    this.input.received(bytes, from, to)
  }

  judged(all: boolean): void {
    const offence = all ? this.#passing?.offence() : undefined
    if (offence !== undefined) this.#violate(offence)
    if (this.#violation !== undefined) return this.session.driverFailed(this, this.#violation)
    if (this.#pinged) {
      this.#pinged = false
      this.pong()
    }
    if (this.#replied) {
      this.#replied = false
      this.session.flow.release()
    }
    this.session.finishIfIdle()
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#ownPassing().arrived(descriptors)
  }

  drained(): void {
    this.session.driverTakesMore()
  }

  ended(): void {
    this.input.ended()
  }

  inputEnded(): void {
    this.lost({ errno: 0 })
  }

  lost({ errno }: LossReason): void {
    if (this.#closing !== undefined) this.close()
    else this.session.driverLost(this, lossError(errno))
  }

  // Keepalive

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
    if (this.transport.pending === 0) this.writer.writeOnce(PONG_FRAME)
  }

  dead(): void {
    const error = systemError(EIO, 'Cannot recv data: connection closed due to keepalive timeout')
    this.session.driverLost(this, error, CLOSE_REASON.keepalive)
  }

  // Frames

  head(bytes: Buffer, at: number, whole: boolean): Disposition {
    this.keepalive.heardAt = this.keepalive.clock.now
    if (this.#violation !== undefined) return DISPOSITION.skip
    if (frameProgram(bytes, at) === PROGRAM.keepalive) return this.#keepaliveFrame(frameProcedure(bytes, at))
    const type = frameType(bytes, at)
    switch (type) {
      case MESSAGE.stream:
        if (frameStatus(bytes, at) === STATUS.continue) return this.#streamData(frameSerial(bytes, at))
        return this.#wholeFrame(bytes, at, type, whole)
      case MESSAGE.reply:
      case MESSAGE.event:
      case MESSAGE.streamHole:
        return this.#wholeFrame(bytes, at, type, whole)
      case MESSAGE.replyWithFds:
        return frameLength(bytes, at) > MAX_COLLECTED_BYTES ? this.#violate('reply too long') : DISPOSITION.collect
      default:
        return this.#violate(`frame of type ${type}`)
    }
  }

  run(bytes: Buffer, from: number, to: number): void {
    if (!this.session.client.writer.relay(bytes, from, to)) this.session.clientFull()
  }

  frame(bytes: Buffer, from: number, to: number): void {
    this.input.spend()
    const type = frameType(bytes, from)
    if (type === MESSAGE.replyWithFds) return this.#replyWithFds(bytes, from, to)
    const disposition = this.#way(bytes, from, type)
    if (disposition === DISPOSITION.pass) return this.run(bytes, from, to)
    if (disposition !== DISPOSITION.collect) return
    if (type === MESSAGE.event) return this.#translatedEvent(bytes.subarray(from, to))
    if (this.#own.has(frameSerial(bytes, from), frameProcedure(bytes, from))) this.#own.answered(bytes, from, to)
    else this.#registrationReply(bytes.subarray(from, to))
  }

  tail(count: number): void {
    this.#passing?.tail(count)
  }

  illegal(length: number): void {
    this.#violate(`frame of ${length} bytes`)
  }

  /** A frame that cannot be cut: nothing of it goes on before it has come whole, unless it is too long to wait for. */
  #wholeFrame(bytes: Buffer, at: number, type: number, whole: boolean): Disposition {
    return whole || frameLength(bytes, at) > MAX_KEPT_BYTES ? this.#way(bytes, at, type) : DISPOSITION.collect
  }

  #way(bytes: Buffer, at: number, type: number): Disposition {
    const serial = frameSerial(bytes, at)
    if (type === MESSAGE.reply) return this.#reply(bytes, at, frameProgram(bytes, at), serial)
    if (type === MESSAGE.event) return this.#event()
    return this.#streamPacket(serial, frameStatus(bytes, at))
  }

  #reply(bytes: Buffer, at: number, prog: number, serial: number): Disposition {
    const proc = frameProcedure(bytes, at)
    if (this.#own.has(serial, proc)) {
      if (frameLength(bytes, at) > MAX_OWN_REPLY_BYTES) return this.#violate('reply too long')
      return DISPOSITION.collect
    }
    if (this.#closing !== undefined && answersClose(proc, serial)) {
      this.close()
      return DISPOSITION.skip
    }
    const session = this.session
    const { calls } = session.flow
    const place = calls.find(prog, proc, serial)
    if (place < 0) return this.#failedHole(bytes, at, prog, proc, serial)
    const kind = calls.kindAt(place)
    if ((kind & KIND.registration) !== 0 && frameLength(bytes, at) <= MAX_COLLECTED_BYTES) return DISPOSITION.collect
    calls.remove(place)
    this.#replied = true
    if ((kind & KIND_REPLY) !== 0) this.#noteReply(kind, proc, serial, frameStatus(bytes, at) === STATUS.ok)
    return session.state === 'open' ? DISPOSITION.pass : DISPOSITION.skip
  }

  /**
   * A hole that the daemon cannot make (its disk is full) is answered like a call, though it was none. The client is told
   * that its stream has failed, which is what it can make use of.
   */
  #failedHole(bytes: Buffer, at: number, prog: number, proc: number, serial: number): Disposition {
    const stream = this.#hasStream(serial) ? this.session.streams.get(serial) : undefined
    const fits = stream?.prog === prog && stream.proc === proc && frameStatus(bytes, at) === STATUS.error
    if (!fits) return this.#violate(`reply to no call (serial ${serial})`)
    putFrameType(bytes, at, MESSAGE.stream)
    this.session.streams.ended(serial)
    this.session.log('info', `stream of ${procedureName(prog, proc)} failed: the daemon could not make a hole`, SOURCE.driver)
    return DISPOSITION.pass
  }

  /** What the reply to an unusual call changes here. */
  #noteReply(kind: CallKind, proc: number, serial: number, ok: boolean): void {
    const { streams } = this.session
    if ((kind & KIND.stream) !== 0) {
      if (ok) streams.opened(serial)
      else streams.ended(serial)
    } else if ((kind & KIND.closeCallback) !== 0 && ok) {
      this.session.closeCallback = proc === REMOTE.connectRegisterCloseCallback
    }
  }

  #ownPassing(): DescriptorPassing {
    const { closer } = this.session.actor.io
    this.#passing ??= new DescriptorPassing(this.reader, closer, (frame, descriptors) => this.#relay(frame, descriptors))
    return this.#passing
  }

  #replyWithFds(bytes: Buffer, from: number, to: number): void {
    const count = DescriptorPassing.announced(bytes, from, to)
    if (count === undefined) this.#violate('too many file descriptors announced')
    else if (count === 0) this.#relay(Buffer.from(bytes.subarray(from, to)), [])
    else if (this.transport.sender === undefined) {
      this.reader.expectTail(count)
      this.#relay(Buffer.from(bytes.subarray(from, to)), [])
    } else this.#ownPassing().expect(bytes, from, to, count)
  }

  /** A reply that has come whole, with its descriptors. */
  #relay(frame: Buffer, descriptors: readonly number[]): void {
    const { session } = this
    const header = readHeader(frame)
    const disposition = this.#reply(frame, 0, header.prog, header.serial)
    if (disposition === DISPOSITION.pass && session.client.transport.sender !== undefined) {
      if (!session.client.writer.relayWithDescriptors(frame, descriptors)) session.clientFull()
      return
    }
    session.flow.closeDescriptors(descriptors)
    if (disposition === DISPOSITION.collect) return void this.#violate('file descriptors with a reply that has none')
    if (disposition !== DISPOSITION.pass) return
    const error = rpcError('file descriptors cannot be passed over this connection')
    session.client.write(errorReply(header, error))
  }

  /** The ids of registrations are looked at, and put into the client's terms after a reconnection. */
  #registrationReply(frame: Buffer): void {
    const { flow, reconnection, state } = this.session
    const { prog, proc, serial, status } = readHeader(frame)
    flow.calls.remove(flow.calls.find(prog, proc, serial))
    this.#replied = true
    if (state !== 'open') return
    reconnection.registrations.answered(serial, status === STATUS.ok, frame)
    this.run(frame, 0, frame.length)
  }

  #event(): Disposition {
    if (this.session.state !== 'open') return DISPOSITION.skip
    return this.session.reconnection.registrations.translating ? DISPOSITION.collect : DISPOSITION.pass
  }

  #translatedEvent(frame: Buffer): void {
    const { registrations } = this.session.reconnection
    if (!registrations.translate(frameProgram(frame, 0), frameProcedure(frame, 0), frame)) return
    this.run(frame, 0, frame.length)
  }

  #hasStream(serial: number): boolean {
    return this.session.state === 'open' && this.session.streams.get(serial) !== undefined
  }

  /** What a packet says does not depend on where it is cut, as long as none is empty: that would be the data's end. */
  #streamData(serial: number): Disposition {
    return this.#hasStream(serial) ? DISPOSITION.split : DISPOSITION.skip
  }

  #streamPacket(serial: number, status: number): Disposition {
    if (!this.#hasStream(serial)) return DISPOSITION.skip
    if (status !== STATUS.continue) this.session.streams.ended(serial)
    return DISPOSITION.pass
  }

  #keepaliveFrame(proc: number): Disposition {
    this.input.spend()
    if (proc === KEEPALIVE.ping) this.#pinged = true
    return DISPOSITION.skip
  }

  #violate(what: string): Disposition {
    this.#violation ??= what
    return DISPOSITION.skip
  }
}

/** What calls in flight fail with when the daemon's end of the connection goes away. */
function lossError(errno: number): RemoteError {
  if (errno === 0) return systemError(EIO, `End of file while reading data: ${errorText(EIO)}`)
  return systemError(errno, `Cannot recv data: ${errorText(errno === EPIPE ? ECONNRESET : errno)}`)
}
