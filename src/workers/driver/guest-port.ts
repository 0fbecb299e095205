import { driverClosed } from '../../protocol/broker-errors.js'
import { NEED, needOf, needOfWhole } from '../../protocol/connection-needs.js'
import { RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import { frameLength, frameProcedure, frameProgram } from '../../protocol/header.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import { registrationKind } from '../../protocol/messages/event-forms.js'
import { hasPriority } from '../../protocol/procedures.js'
import type { Closable } from '../base/clock.js'
import type { FrameSource } from '../framing/frame-writer.js'
import type { Counters } from '../thread/counters.js'
import type { Turns } from '../thread/turns.js'
import { CloseCallback } from './close-callback.js'
import { CollectedCall, type CollectedCalls } from './collected-calls.js'
import type { CallWriter, DriverEvents, DriverPort, DriverUser } from './driver-port.js'
import type { DriverOpening, OpenedDriver } from './drivers.js'
import { GuestRegistrations, type RegistrationsOwner } from './guest-registrations.js'
import type { HeldReplies } from './held-replies.js'
import { OwnAnswers } from './own-answers.js'
import { OwnConnection, type OwnConnectionOwner } from './own-connection.js'
import { promotionOf } from './own-part.js'
import type { Guest, SharedConnection } from './shared-connection.js'
import type { SharedRegistrations } from './shared-registrations.js'

/** A longer call is not kept until it is whole: its session gets a connection of its own for it. */
const MAX_SHARED_CALL_BYTES = 64 * 1024

const tellJudged = (events: DriverEvents): void => events.driverJudged()

/** Whose guest it is: a name that is open at a driver daemon, on connections that are shared. */
export interface GuestHost {
  /** Sends the whole call at `bytes[at]`, which becomes one with no other if `alone`. False: the guest is told when to ask again. */
  call(guest: GuestPort, bytes: Buffer, at: number, alone: boolean): boolean
  /** The same name, with the same identity, on another connection. */
  openOwn(user: DriverUser): DriverOpening
  /** The event registrations of all its guests. */
  readonly registrations: SharedRegistrations
  /** Nothing is to come to it any more. */
  left(guest: GuestPort): void
}

/** What it needs of its thread. */
export interface GuestServices {
  readonly turns: Turns
  readonly held: HeldReplies
  readonly collected: CollectedCalls
  readonly counters: Counters
  readonly io: { failed(session: Closable, error: unknown): void }
}

/**
 * The way of a session to its driver daemon that is a part in connections which several share, as long as it asks for
 * nothing that belongs to one connection. The first such call opens one for it alone, on which all goes until that is over.
 */
export class GuestPort implements DriverPort, CallWriter, FrameSource, Guest, OwnConnectionOwner, RegistrationsOwner {
  readonly user: DriverUser
  readonly #host: GuestHost
  readonly #services: GuestServices
  #closeCallback: CloseCallback | undefined
  #answers: OwnAnswers | undefined
  #registrations: GuestRegistrations | undefined
  /** What `relay` brings next is a call to register for events, or to deregister. */
  #registering = false
  /** The connection that its last ordinary call went to, and when. */
  last: SharedConnection | undefined
  lastAt = 0
  /** Ordinary and other calls that are out on shared connections. */
  out = 0
  /** Those of them that have to go out again, before all that wait. */
  #again: Buffer[] | undefined
  /** The session uses it, and hears of its loss. */
  #serving = false
  #gone = false
  #paused = false
  /** A call was held back while it was paused. */
  #held = false
  #collecting: CollectedCall | undefined
  /** Bytes of calls that are sent or answered, and are still to come by `relay`. */
  #sent = 0
  /** Made when it is first needed. */
  #own: OwnConnection | undefined
  /** Why there is no connection for the call that waits for one. */
  #refusal: RemoteError | undefined

  constructor(user: DriverUser, host: GuestHost, services: GuestServices) {
    this.user = user
    this.#host = host
    this.#services = services
  }

  get writer(): this {
    return this
  }

  get isOwn(): boolean {
    return this.#usedOwn !== undefined
  }

  get #usedOwn(): OpenedDriver | undefined {
    return this.#own?.used
  }

  /** False: it has been lost meanwhile. */
  serve(): boolean {
    return (this.#serving = !this.#gone)
  }

  // DriverPort

  /**
   * What goes to a shared connection is written here: what is relayed later in one piece may be calls for several.
   */
  begin(bytes: Buffer, at: number, whole: boolean): Disposition {
    if (whole) this.#collecting?.done()
    const need = this.#needOf(bytes, at, whole)
    if (need === NEED.events) return this.#register(whole)
    if (need === NEED.none) return whole ? this.#keepCloseCallback(bytes, at) : DISPOSITION.collect
    if (this.isOwn) return this.#beginOwn(bytes, at, whole, need)
    if (this.#own?.isComing === true) return DISPOSITION.hold
    const length = frameLength(bytes, at)
    if (need === NEED.own || need === NEED.ownForGood || length > MAX_SHARED_CALL_BYTES) return this.#beginFirstOwn(bytes, at)
    if (!whole) return this.#collects(length) ? DISPOSITION.collect : this.#beginFirstOwn(bytes, at)
    if (this.#paused) return this.#holdPaused()
    if (this.#again !== undefined && !hasPriority(frameProgram(bytes, at), frameProcedure(bytes, at))) return DISPOSITION.hold
    if (this.#refusal !== undefined) return this.#refuse(bytes, at)
    if (!this.#host.call(this, bytes, at, false)) return DISPOSITION.hold
    this.out++
    this.#sent += length
    return DISPOSITION.pass
  }

  #collects(length: number): boolean {
    return (this.#collecting ??= new CollectedCall(this.#services.collected)).begin(length)
  }

  #needOf(bytes: Buffer, at: number, whole: boolean): number {
    const need = whole ? needOfWhole(bytes, at) : needOf(bytes, at)
    return need === NEED.events && whole && !this.#listening.takes(bytes, at) ? NEED.ownForGood : need
  }

  get #listening(): GuestRegistrations {
    return (this.#registrations ??= new GuestRegistrations(this, this.#services.turns))
  }

  /** Only when it is relayed are the ids in it those that are known here. */
  #register(whole: boolean): Disposition {
    if (!whole) return DISPOSITION.collect
    if (this.#paused) return this.#holdPaused()
    this.#registering = true
    return DISPOSITION.pass
  }

  #holdPaused(): Disposition {
    this.#held = true
    return DISPOSITION.hold
  }

  #keepCloseCallback(bytes: Buffer, at: number): Disposition {
    this.#closeCallback ??= new CloseCallback()
    return this.#answer(bytes, at, this.#closeCallback.call(frameProcedure(bytes, at)))
  }

  #answer(bytes: Buffer, at: number, error: RemoteError | undefined): Disposition {
    this.#ownAnswers.answer(bytes, at, error)
    this.#sent += frameLength(bytes, at)
    return DISPOSITION.pass
  }

  get #ownAnswers(): OwnAnswers {
    return (this.#answers ??= new OwnAnswers(this.user, this.#services.turns))
  }

  #beginOwn(bytes: Buffer, at: number, whole: boolean, need: number): Disposition {
    const own = this.#own!
    const disposition = own.begin(bytes, at, whole)
    if (disposition !== DISPOSITION.pass) return disposition
    if (need !== NEED.ownForGood && (need !== NEED.arguments || whole)) return disposition
    own.forGood = true
    if (registrationKind(frameProgram(bytes, at), frameProcedure(bytes, at)) !== undefined) this.#listening.isElsewhere = true
    return disposition
  }

  #refuse(bytes: Buffer, at: number): Disposition {
    const refusal = this.#refusal
    this.#refusal = undefined
    return this.#answer(bytes, at, refusal)
  }

  #beginFirstOwn(bytes: Buffer, at: number): Disposition {
    if (this.#refusal !== undefined) return this.#refuse(bytes, at)
    this.#ownToBe.promote(promotionOf(bytes, at)).then(
      () => this.user.driverEvents.driverJudged(),
      (error: unknown) => this.#notPromoted(error)
    ).catch((error: unknown) => this.#services.io.failed(this.user.session, error))
    return DISPOSITION.hold
  }

  #notPromoted(error: unknown): void {
    if (!(error instanceof RemoteError)) throw error
    if (this.#gone) return
    this.#refusal = error
    this.user.driverEvents.driverJudged()
  }

  pause(): void {
    this.#paused = true
    this.#usedOwn?.port.pause()
  }

  resume(): void {
    this.#paused = false
    this.#registrations?.allRead()
    this.#usedOwn?.port.resume()
    this.#services.held.forget(this)
    if (!this.#held) return
    this.#held = false
    this.#sendAgain()
    this.user.driverEvents.driverJudged()
  }

  leave(): void {
    this.#own?.end(true)
    this.#end()
  }

  close(): void {
    this.#own?.end(false)
    this.#end()
  }

  #end(): void {
    if (this.#gone) return
    this.#gone = true
    this.#answers?.drop()
    this.#collecting?.done()
    this.#services.held.forget(this)
    this.#host.left(this)
    this.#registrations?.end()
  }

  /** The daemon has gone, or what is out there with a connection to it. */
  lost(error: RemoteError, reason: number, cut: boolean): void {
    if (this.#gone) return
    // The one that is lost may be another than that which has the rest of a reply.
    const lacksRest = cut || this.inPassedFrame
    this.close()
    if (this.#serving) this.#tell(events => events.driverLost(this, error, reason, lacksRest))
  }

  /** Others who share its connections have something to hear after it. */
  #tell(what: (events: DriverEvents) => void): void {
    try {
      what(this.user.driverEvents)
    } catch (error) {
      this.#services.io.failed(this.user.session, error)
    }
  }

  // CallWriter

  get spliceTarget(): number | undefined {
    return this.#sent === 0 ? this.#usedOwn?.port.writer.spliceTarget : undefined
  }

  relay(bytes: Buffer, from: number, to: number): boolean {
    if (this.#registering) {
      this.#registering = false
      this.#registrations!.called(bytes, from)
      return true
    }
    const sent = Math.min(this.#sent, to - from)
    this.#sent -= sent
    // A piece without bytes says that a frame is at its end which the kernel has moved.
    if (sent > 0 && from + sent === to) return true
    return this.#usedOwn?.port.writer.relay(bytes, from + sent, to) !== false
  }

  relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): boolean {
    const sent = Math.min(this.#sent, frame.length)
    this.#sent -= sent
    const own = this.#usedOwn
    if (own === undefined) throw new Error('descriptors of a call that needs no connection of its own')
    return own.port.writer.relayWithDescriptors(frame.subarray(sent), descriptors)
  }

  // FrameSource: what goes to the client comes from here

  get inPassedFrame(): boolean {
    return this.#usedOwn?.source.inPassedFrame === true || this.isPassing
  }

  cutAtFrameEnd(): void {
    const own = this.#usedOwn
    if (own?.source.inPassedFrame === true) own.source.cutAtFrameEnd()
    this.#passedTo?.cutAtFrameEnd()
  }

  /** By which a reply goes on in parts, or went. */
  passing: SharedConnection | undefined

  get #passedTo(): SharedConnection | undefined {
    return this.passing?.passesTo(this) === true ? this.passing : undefined
  }

  // Guest

  get wholeOnly(): boolean {
    return this.isOwn || this.isPassing
  }

  answered(): void {
    this.out--
  }

  /** A whole reply may have to wait for the end of another that comes by another connection. */
  take(bytes: Buffer, from: number, to: number, whole: boolean): void {
    if (whole && this.inPassedFrame) this.user.replies.write(Buffer.from(bytes.subarray(from, to)))
    else this.user.replies.relay(bytes, from, to)
    if (this.#paused) this.#services.held.note(this, to - from)
  }

  judged(): void {
    this.#own?.use()
    this.#sendAgain()
    this.#tell(tellJudged)
  }

  callAgain(frame: Buffer): void {
    (this.#again ??= []).push(frame)
    this.#sendAgain()
  }

  #sendAgain(): void {
    const again = this.#again
    if (again === undefined) return
    if (this.#paused) this.#held = true
    else while (again.length > 0 && this.#host.call(this, again[0]!, 0, true)) again.shift()
    if (again.length === 0) this.#again = undefined
  }

  /** There is no connection for the call that waits for one: it fails, and the session goes on. */
  refused(error: RemoteError): void {
    if (this.#gone) return
    const again = this.#again?.shift()
    if (again === undefined) this.#refusal = error
    else {
      this.out--
      this.#ownAnswers.answer(again, 0, error)
    }
    this.judged()
    // It may not have waited any more.
    this.#refusal = undefined
  }

  // Events

  get shared(): SharedRegistrations {
    return this.#host.registrations
  }

  get isBehind(): boolean {
    return this.#paused || this.inPassedFrame
  }

  // The connection of its own

  get isPaused(): boolean {
    return this.#paused
  }

  get isPassing(): boolean {
    return this.#passedTo !== undefined
  }

  openOwn(user: DriverUser): DriverOpening {
    return this.#host.openOwn(user)
  }

  get #ownToBe(): OwnConnection {
    return (this.#own ??= new OwnConnection(this, this.#services.counters))
  }

  /** For the broker's own calls on the session's behalf, which register for events. */
  async call(proc: number, args: Buffer, prog: number): Promise<Buffer> {
    // What is begun after the end would never come to one.
    if (this.#gone) throw driverClosed()
    if (!this.#listening.needsOwn(prog, proc, args)) return this.#listening.renew(prog, proc, args)
    const own = this.#ownToBe
    own.forGood = this.#listening.isElsewhere = true
    if (!this.isOwn) await own.promote('registration').catch((error: unknown) => this.#notRenewed(error))
    return own.call(proc, args, prog)
  }

  /** As with those that are shared: it must not lose what it listens for, and comes back later. */
  #notRenewed(error: unknown): void {
    if (error instanceof RemoteError) this.lost(error, CLOSE_REASON.error, false)
    throw error
  }
}
