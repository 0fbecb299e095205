import { KIND, KIND_REPLY, type CallKind } from '../../protocol/call-kinds.js'
import { errorReply, repliedCode, type RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
  frameSerial,
  frameStatus,
  frameType,
  HEADER_BYTES,
  MESSAGE,
  putFrameType,
  STATUS,
  type Header
} from '../../protocol/header.js'
import { CLOSE_REASON, connectionClosedFrame } from '../../protocol/messages/connect.js'
import type { RegistrationKind } from '../../protocol/messages/events.js'
import { hasPriority, lookup, procedureName, REMOTE } from '../../protocol/procedures.js'
import { giveBackSmall } from '../../protocol/spare-buffers.js'
import { SOURCE } from '../base/log.js'
import type { DriverPort, ReplyJudge } from '../driver/driver-port.js'
import type { Counters } from '../thread/counters.js'
import { DIRECTION, FAMILIES } from '../thread/metric-families.js'
import { LOST, TIMED_OUT, type SessionObserver } from '../thread/session-observer.js'
import type { CallAudit } from './call-audit.js'
import { CallTable } from './call-table.js'
import { PAUSE, type CallSink, type ClientPort, type FlowOwner } from './ports.js'
import { Registrations } from './registrations.js'
import { OpenStreams } from './streams.js'
import { tellAnswered } from './tell-answered.js'
import { WaitingCalls } from './waiting-calls.js'

/** A reply to a registration is four bytes; one that is longer than this goes on without having been looked into. */
const MAX_LOOKED_INTO_BYTES = 8 * 1024 * 1024
const NO_DESCRIPTORS: readonly number[] = []
const EMPTY = Buffer.alloc(0)

/** What a flow of calls needs of its thread. */
export interface FlowServices {
  readonly observer: SessionObserver | undefined
  readonly settings: { readonly maxClientRequests: number }
  readonly counters: Counters
  readonly turns: { readonly clock: { readonly now: number } }
  /** Closes descriptors that nobody takes. */
  readonly io: { readonly closer: { close(descriptor: number): void } }
}

/**
 * The way of one client's calls to its driver daemon (at once, after others, or not at all), and what is known of those
 * that are there: calls, streams, registrations. A call is settled in `replied`, or fails in `lost`, and nowhere else.
 */
export class CallFlow implements CallSink, ReplyJudge {
  /** With the daemon, and not answered. */
  readonly calls: CallTable
  readonly streams = new OpenStreams()
  readonly registrations = new Registrations()
  readonly #client: ClientPort
  readonly #owner: FlowOwner
  #observer: SessionObserver | undefined
  readonly #audit: CallAudit | undefined
  readonly #services: FlowServices
  #keepsHeads = false
  #tellsStarts = false
  #port: DriverPort | undefined
  /** It has said `hold`: to ask again is of no use before `driverJudged`. */
  #held = false
  /** Not given to the daemon yet; undefined while there are none, which is nearly always. */
  #waiting: WaitingCalls | undefined
  /** The client wants CONNECT_EVENT_CONNECTION_CLOSED. */
  #closeCallback = false

  constructor(client: ClientPort, owner: FlowOwner, services: FlowServices) {
    const { observer } = services
    this.#client = client
    this.#owner = owner
    this.#services = services
    this.#audit = owner.audit
    this.calls = new CallTable()
    this.observe(observer)
  }

  /** Tells another one from now on. */
  observe(observer: SessionObserver | undefined): void {
    this.#observer = observer
    this.#keepsHeads = observer?.timing === true && observer.slowUs < Infinity
    this.#tellsStarts = observer?.timing === true && observer.starts
    this.calls.keepTimes(observer?.timing === true)
  }

  get connected(): boolean {
    return this.#port !== undefined
  }

  get spliceTarget(): number | undefined {
    return this.#port?.writer.spliceTarget
  }

  /** How many calls are not given to the daemon yet. */
  get waiting(): number {
    return this.#waiting?.size ?? 0
  }

  /** When the oldest call came that is not answered; 0 if there is none, or where nobody wants to know. */
  get oldest(): number {
    const { calls } = this
    const called = calls.size > 0 ? calls.cameAt(0) : 0
    const waiting = this.#waiting?.first?.came ?? 0
    return called > 0 && waiting > 0 ? Math.min(called, waiting) : Math.max(called, waiting)
  }

  /** How many calls are not answered. */
  get outstanding(): number {
    return this.calls.size + this.waiting
  }

  /** Calls are not answered. */
  get busy(): boolean {
    return this.calls.size > 0 || this.#waiting !== undefined
  }

  get bound(): boolean {
    return this.streams.size > 0
  }

  get onlyReads(): boolean {
    const { calls } = this
    for (let place = calls.size > 0 ? 0 : -1; place >= 0; place = calls.after(place)) {
      if (lookup(calls.programAt(place), calls.procedureAt(place))?.pure !== true) return false
    }
    return true
  }

  // From the client

  forward(bytes: Buffer, at: number, kind: CallKind, whole: boolean): Disposition {
    return this.#forward(bytes, at, kind, whole, NO_DESCRIPTORS)
  }

  /** A call that has come whole, with its descriptors. It may be changed in place. */
  whole(bytes: Buffer, from: number, to: number, kind: CallKind, descriptors: readonly number[]): void {
    const [prog, proc, serial] = [frameProgram(bytes, from), frameProcedure(bytes, from), frameSerial(bytes, from)]
    const disposition = this.#forward(bytes, from, kind, true, descriptors)
    if (disposition === DISPOSITION.pass && (kind & KIND.registration) !== 0) {
      // Only now is it certain by which id the daemon knows what the client deregisters.
      this.registrations.asked(prog, proc, serial, bytes.subarray(from, to))
    }
    if (disposition === DISPOSITION.pass && descriptors.length > 0) this.#relayWithDescriptors(bytes, descriptors)
    else this.relay(bytes, from, to, disposition)
  }

  packet(bytes: Buffer, at: number): Disposition | undefined {
    const stream = this.#port === undefined ? undefined : this.streams.get(frameSerial(bytes, at))
    if (!stream?.open) return DISPOSITION.skip
    if (frameStatus(bytes, at) !== STATUS.continue) stream.finishing = true
    else if (frameType(bytes, at) === MESSAGE.stream) this.#countData(bytes, at, DIRECTION.in)
    // It deadlocks virtproxyd, and makes libvirtd close the connection.
    return frameType(bytes, at) === MESSAGE.streamHole && !stream.sparse ? undefined : DISPOSITION.pass
  }

  relay(bytes: Buffer, from: number, to: number, disposition: Disposition): void {
    if (disposition === DISPOSITION.hold) {
      this.#waiting!.append(bytes, from, to)
      if (this.#waiting!.full) this.#client.pause(PAUSE.waitingFull)
    } else if (this.#port?.writer.relay(bytes, from, to) === false) this.#client.pause(PAUSE.driverFull)
  }

  /**
   * Gives the driver daemon the next calls that wait, as many as it takes now. While it does not take the oldest, those go past
   * it that wait for no hypervisor.
   */
  release(): void {
    const waiting = this.#waiting
    const port = this.#port
    if (waiting === undefined || port === undefined || this.#held) return
    for (let next = waiting.first; next !== undefined;) {
      const { bytes, missing, kind, descriptors } = next
      // The client has to be read for that frame to end, even if it was paused for having too many calls.
      if (this.#client.inPassedFrame) return this.#client.resume(PAUSE.waitingFull)
      const goes = this.#mayCall(next.prog, next.proc)
      const disposition = goes ? port.begin(bytes, 0, missing === 0) : DISPOSITION.hold
      if (disposition === DISPOSITION.collect) return this.#client.resume(PAUSE.waitingFull)
      if (goes) this.#held = disposition === DISPOSITION.hold
      if (disposition === DISPOSITION.hold) {
        const { first, urgent }: WaitingCalls = waiting
        next = next === first && next !== urgent ? urgent : undefined
        continue
      }
      waiting.take(next)
      if ((kind & KIND.registration) !== 0) this.registrations.asked(next.prog, next.proc, next.serial, bytes)
      this.relay(bytes, 0, next.length - missing, DISPOSITION.pass)
      if (descriptors.length > 0) this.#relayWithDescriptors(EMPTY, descriptors)
      this.#begun(next.prog, next.proc, next.serial, kind, next.came)
      if (missing === 0) this.#keepHead(bytes, 0)
      if (missing > 0) this.#client.divert(DISPOSITION.pass)
      giveBackSmall(bytes)
      next = waiting.first
    }
    if (waiting.size === 0) this.#waiting = undefined
    if (!waiting.full) this.#client.resume(PAUSE.waitingFull)
  }

  #forward(bytes: Buffer, at: number, kind: CallKind, whole: boolean, descriptors: readonly number[]): Disposition {
    const prog = frameProgram(bytes, at)
    const proc = frameProcedure(bytes, at)
    const serial = frameSerial(bytes, at)
    const port = this.#port
    // A call that waits for no hypervisor may go past those that wait.
    const first = this.#waiting === undefined || hasPriority(prog, proc)
    const goes = port !== undefined && first && this.#mayCall(prog, proc)
    const disposition = goes ? port.begin(bytes, at, whole) : DISPOSITION.hold
    if (goes) this.#held = disposition === DISPOSITION.hold
    if (disposition === DISPOSITION.pass) {
      this.#begun(prog, proc, serial, kind, 0)
      if (whole) this.#keepHead(bytes, at)
    } else if (disposition === DISPOSITION.hold) {
      this.#waiting ??= new WaitingCalls()
      this.#waiting.add(prog, proc, serial, kind, frameLength(bytes, at), descriptors, this.#now)
      if (this.#tellsStarts) this.#observer!.begun(this.#owner.record, prog, proc, serial)
      if (this.#waiting.full) this.#client.pause(PAUSE.waitingFull)
      if (port === undefined) this.#owner.driverWanted()
    }
    if ((kind & KIND.audited) !== 0 && disposition !== DISPOSITION.collect) this.#audit?.begun(bytes, at, serial, whole)
    return disposition
  }

  /** The client has no more calls out than one client may, or only one that waits for no hypervisor goes beyond that. */
  #mayCall(prog: number, proc: number): boolean {
    const { maxClientRequests } = this.#services.settings
    const { size } = this.calls
    return size < maxClientRequests || (size === maxClientRequests && hasPriority(prog, proc))
  }

  /** A call is on its way to the driver daemon. */
  #begun(prog: number, proc: number, serial: number, kind: CallKind, came: number): void {
    this.calls.add(prog, proc, serial, kind)
    if (this.#observer?.timing === true) {
      const { now } = this.#services.turns.clock
      this.calls.stamp(came === 0 ? now : came, now)
      if (came === 0 && this.#tellsStarts) this.#observer.begun(this.#owner.record, prog, proc, serial)
    }
    if ((kind & KIND.stream) !== 0) this.streams.called(prog, proc, serial, (kind & KIND.sparse) !== 0)
  }

  /** Of a call that has come whole. */
  #keepHead(bytes: Buffer, at: number): void {
    if (!this.#keepsHeads) return
    const count = frameType(bytes, at) === MESSAGE.callWithFds ? 4 : 0
    this.calls.keepHead(bytes, at + HEADER_BYTES + count, at + frameLength(bytes, at))
  }

  /** Where anybody wants to know. */
  get #now(): number {
    return this.#observer?.timing === true ? this.#services.turns.clock.now : 0
  }

  #relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): void {
    if (this.#port?.writer.relayWithDescriptors(frame, descriptors) === false) this.#client.pause(PAUSE.driverFull)
  }

  // From the driver daemon

  replied(bytes: Buffer, at: number, whole: boolean): Disposition | undefined {
    const prog = frameProgram(bytes, at)
    const proc = frameProcedure(bytes, at)
    const serial = frameSerial(bytes, at)
    const place = this.calls.find(prog, proc, serial)
    if (place < 0) return undefined
    const kind = this.calls.kindAt(place)
    const lookedInto = (kind & KIND.registration) !== 0 && frameLength(bytes, at) <= MAX_LOOKED_INTO_BYTES
    const audit = (kind & KIND.audited) === 0 ? undefined : this.#audit
    if (!whole && (lookedInto || audit?.isToldBy(bytes, at) === true)) return DISPOSITION.collect
    audit?.answered(bytes, at, whole)
    if (this.#observer !== undefined) this.#tellAnswered(this.#observer, place, repliedCode(bytes, at))
    this.calls.remove(place)
    if (this.#port === undefined) return DISPOSITION.skip
    if ((kind & KIND_REPLY) === 0) return DISPOSITION.pass
    const ok = frameStatus(bytes, at) === STATUS.ok
    if ((kind & KIND.stream) !== 0) {
      if (ok) this.streams.opened(serial)
      else this.streams.ended(serial)
    } else if (lookedInto) {
      this.registrations.answered(serial, ok, bytes.subarray(at, at + frameLength(bytes, at)))
    } else if ((kind & KIND.closeCallback) !== 0 && ok) {
      this.#closeCallback = proc === REMOTE.connectRegisterCloseCallback
    }
    return DISPOSITION.pass
  }

  streamPacket(bytes: Buffer, at: number): Disposition | undefined {
    const serial = frameSerial(bytes, at)
    const stream = this.#port === undefined ? undefined : this.streams.get(serial)
    if (stream === undefined) return undefined
    const type = frameType(bytes, at)
    const status = frameStatus(bytes, at)
    if (type === MESSAGE.reply) {
      const { prog, proc } = stream
      if (prog !== frameProgram(bytes, at) || proc !== frameProcedure(bytes, at) || status !== STATUS.error) return undefined
      // The client is told that its stream has failed, which is what it can make use of.
      putFrameType(bytes, at, MESSAGE.stream)
      const what = `stream of ${procedureName(prog, proc)} failed: the daemon could not make a hole`
      this.#owner.log('info', what, SOURCE.driver)
    } else if (type === MESSAGE.stream && status === STATUS.continue) {
      this.#countData(bytes, at, DIRECTION.out)
      return DISPOSITION.split
    }
    if (status !== STATUS.continue) this.streams.ended(serial)
    return DISPOSITION.pass
  }

  #countData(bytes: Buffer, at: number, direction: number): void {
    this.#services.counters.add(FAMILIES.streamBytes, frameLength(bytes, at) - HEADER_BYTES, direction)
  }

  event(bytes: Buffer, at: number, whole: boolean): Disposition {
    if (this.#port === undefined) return DISPOSITION.skip
    if (this.registrations.translating && !whole) return DISPOSITION.collect
    this.#services.counters.add(FAMILIES.events, 1, this.#owner.record.driver)
    if (!this.registrations.translating) return DISPOSITION.pass
    const frame = bytes.subarray(at, at + frameLength(bytes, at))
    const known = this.registrations.translate(frameProgram(bytes, at), frameProcedure(bytes, at), frame)
    return known ? DISPOSITION.pass : DISPOSITION.skip
  }

  driverId(kind: RegistrationKind, id: number): number {
    return this.registrations.driverId(kind, id)
  }

  // From the session

  /** The name is open there. */
  connect(port: DriverPort): void {
    this.#port = port
    this.#held = false
  }

  /** What had come from there is judged: it may take calls again. */
  driverJudged(): void {
    this.#held = false
    this.release()
  }

  /** The client is told no more of what is out there. */
  disconnect(): void {
    this.#port = undefined
  }

  /**
   * The daemon is gone: calls fail, streams end with an error, and the client gets its event if it asked for it. Returns
   * whether it did.
   */
  lost(error: RemoteError, reason: number): boolean {
    const told = this.#closeCallback
    this.#port = undefined
    this.#observeLost(reason === CLOSE_REASON.keepalive ? TIMED_OUT : LOST)
    for (const call of this.calls.takeAll()) {
      this.#audit?.failed(call, 'none', error)
      this.#client.write(errorReply(call, error))
    }
    this.failWaiting(error)
    for (const frame of this.streams.breakAll(error)) this.#client.write(frame)
    this.tellOfEnd(reason)
    this.#client.resume(PAUSE.driverFull)
    return told
  }

  /** Nobody waits for the answers any more. */
  abandon(): void {
    this.#observeLost(LOST)
    this.#audit?.end()
    for (const { prog, proc, serial } of this.drop()) this.#observer?.answered(this.#owner.record, prog, proc, LOST, 0, 0, serial)
  }

  #observeLost(code: typeof LOST | typeof TIMED_OUT): void {
    const observer = this.#observer
    if (observer === undefined || this.calls.size === 0) return
    for (let place = 0; place >= 0; place = this.calls.after(place)) this.#tellAnswered(observer, place, code)
  }

  #tellAnswered(observer: SessionObserver, place: number, code: number): void {
    tellAnswered(observer, this.#owner.record, this.calls, place, code, this.#services.turns.clock)
  }

  /** The client is about to be closed. It gets its event if it asked for it. */
  tellOfEnd(reason: number): void {
    if (this.#closeCallback) this.#client.write(connectionClosedFrame(reason))
    this.#closeCallback = false
  }

  /** The calls that wait for the daemon fail, and what is still to come of the last one is not wanted. */
  failWaiting(error: RemoteError): void {
    for (const call of this.drop()) {
      this.#observer?.refused(this.#owner.record, call.prog, call.proc, error, call.serial)
      this.#audit?.failed(call, 'refused', error)
      this.#client.write(errorReply(call, error))
    }
    this.#client.divert(DISPOSITION.skip)
    this.#client.resume(PAUSE.waitingFull)
  }

  /** Gives up the calls that wait for the daemon; returns their headers. */
  drop(): Header[] {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting?.takeAll(descriptor => this.#services.io.closer.close(descriptor)) ?? []
  }
}
