import { rpcError, type RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import { frameLength, frameSerial, frameType, MESSAGE, putFrameSerial } from '../../protocol/header.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import { Timer, type Clock, type Timed } from '../base/clock.js'
import type { ConnectionUse } from '../thread/driver-report.js'
import type { Turns } from '../thread/turns.js'
import { MAX_KEPT_BYTES } from './driver-connection.js'
import type { DriverPort, DriverUser } from './driver-port.js'
import type { Candidate } from './driver-sockets.js'
import type { OpenedDriver } from './drivers.js'
import { GatheredCalls, type GatheringOwner } from './gathered-calls.js'
import { JoinedCalls, type JoinedCall } from './joined-calls.js'
import { isRpcError, losesSecondary } from './secondaries.js'
import { SessionlessUser } from './sessionless-user.js'
import { Slots } from './slots.js'

/** One of those who share a connection. */
export interface Guest {
  readonly user: DriverUser
  /** It has another connection beside this one, so that nothing may go to it in pieces. */
  readonly wholeOnly: boolean
  /** A call of its is answered. */
  answered(): void
  /** By which a reply goes on to it in parts, or went. */
  passing: SharedConnection | undefined
  /** A reply to it, or a part of one. */
  take(bytes: Buffer, from: number, to: number, whole: boolean): void
  /** What had come is judged. */
  judged(): void
  /** This call, which was to be answered with another's reply, goes to the daemon after all. */
  callAgain(frame: Buffer): void
}

export interface SharedOwner {
  /** What had come is judged: there may be room. */
  judged(): void
  /** It is gone. `cut`: whose reply has come in part, and the rest is lost. */
  lost(connection: SharedConnection, error: RemoteError, reason: number, cut: Guest | undefined): void
  /** Nobody has used it for as long as it is to be kept. Whether it goes: then it is the owner's no more. */
  idleLong(connection: SharedConnection): boolean
  /** It is of no more use. Whether it goes: then it is the owner's no more. */
  spent(connection: SharedConnection): boolean
  /** It has begun to be used, or to be idle. */
  used(connection: SharedConnection, yes: boolean): void
  violated(what: string): void
  useOf(connection: SharedConnection): ConnectionUse | undefined
}

/** The way of replies to those whose calls had joined the one that is answered. */
export interface Copies {
  /** The reply stands at `bytes[from]`, up to `to`, if it is not so long that it goes on in parts. */
  add(call: JoinedCall<Guest>, bytes: Buffer, from: number, to: number): void
}

/** What it needs of its thread. */
export interface SharingServices {
  readonly clock: Clock
  readonly turns: Turns
  readonly settings: { readonly driverMaxRequests: number }
}

/**
 * A connection to a driver daemon that several sessions use, a call at a time. Each call has a serial of its own here, so
 * that a reply finds its way back; and only whole calls go out, so that nobody waits for anybody's rest.
 */
export class SharedConnection extends SessionlessUser implements GatheringOwner, Timed {
  readonly #owner: SharedOwner
  readonly #services: SharingServices
  readonly #copies: Copies
  readonly #idleMs: () => number
  readonly #slots = new Slots<Guest>()
  readonly #gathered: GatheredCalls
  #joined: JoinedCalls<Guest> | undefined
  #opened: OpenedDriver | undefined
  /** The daemon takes no more for now. */
  #full = false
  /** It takes no more calls: what a daemon needs for some of them is lost to it here. */
  #retired = false
  /** Whose reply has come in part and goes on as it comes; undefined as well when that one has gone. */
  #passing: Guest | undefined
  /** Whose calls have been answered since all was judged. */
  readonly #answered: Guest[] = []
  /** The daemon has what it needs for calls of these drivers, bits of `secondaryOf`; it is about to make itself that. */
  #ready = 0
  readonly #firsts = new Map<number, number>()
  #idleSince: number
  readonly #timer = new Timer(this)

  /** `idleMs`: how long it may be idle as things are. */
  constructor(owner: SharedOwner, services: SharingServices, copies: Copies, idleMs: () => number) {
    super()
    this.#owner = owner
    this.#services = services
    this.#copies = copies
    this.#idleMs = idleMs
    this.#gathered = new GatheredCalls(this, services.turns)
    this.#idleSince = services.clock.now
  }

  /** The name is open there. False: it has been lost meanwhile. */
  serve(opened: OpenedDriver): boolean {
    this.#opened = opened
    if (!opened.serve()) return false
    this.#idle()
    return true
  }

  get candidate(): Candidate {
    return this.#opened!.candidate
  }

  get out(): number {
    return this.#slots.size
  }

  get oldestMs(): number | undefined {
    const { oldest } = this.#slots
    return oldest === undefined ? undefined : Math.round(this.#services.clock.now - oldest)
  }

  use(): ConnectionUse | undefined {
    return this.#owner.useOf(this)
  }

  /** It takes no more calls, whatever comes back. */
  get isRetired(): boolean {
    return this.#retired
  }

  /**
   * How many of its places have been taken for so many milliseconds: all, to a call that needs what `secondaryOf` says and
   * waits for the first such one, if that has been out for so long.
   */
  outFor(ms: number, secondary: number): number {
    const time = this.#services.clock.now - ms
    for (const [given, one] of this.#firsts) {
      if (one === secondary && this.#slots.sinceAt(this.#slots.find(given)) <= time) return this.#services.settings.driverMaxRequests
    }
    return this.#slots.takenBy(time)
  }

  /** How many more calls it takes that need what `secondaryOf` says. */
  places(secondary: number): number {
    if (this.#full || this.#retired) return 0
    const places = Math.max(0, this.#services.settings.driverMaxRequests - this.#slots.size)
    if (secondary === 0 || (this.#ready & secondary) !== 0) return places
    return this.#readying(secondary) ? 0 : Math.min(places, 1)
  }

  /** A first call of a driver goes alone: several at once make the daemon open as many connections, and keep them. */
  #readying(secondary: number): boolean {
    for (const one of this.#firsts.values()) if (one === secondary) return true
    return false
  }

  /**
   * A whole call that stands at `bytes[at]`, for which there is room. Its serial is changed there. Until it leaves, others that
   * ask the same can join it.
   */
  send(guest: Guest, bytes: Buffer, at: number, secondary: number, question: string | undefined): void {
    const { clock } = this.#services
    if (this.#slots.size === 0) this.#owner.used(this, true)
    const serial = this.#slots.take(guest, frameSerial(bytes, at), clock.now)
    if (secondary !== 0 && (this.#ready & secondary) === 0) this.#firsts.set(serial, secondary)
    this.#opened!.port.begin(bytes, at, true)
    putFrameSerial(bytes, at, serial)
    this.#gathered.add(bytes, at, at + frameLength(bytes, at))
    if (question !== undefined) this.#gathered.offer(question, serial)
  }

  /** The whole call at `bytes[at]` becomes one with another that asks the same and has not left. False: there is none. */
  join(guest: Guest, bytes: Buffer, at: number, question: string): boolean {
    const given = this.#gathered.offered(question)
    if (given === undefined) return false
    const place = this.#slots.find(given)
    if (this.#slots.userAt(place) !== undefined) return (this.#joined ??= new JoinedCalls()).add(given, guest, bytes, at)
    this.#slots.pass(place, { user: guest, serial: frameSerial(bytes, at) })
    return true
  }

  sendNow(bytes: Buffer, from: number, to: number): void {
    this.#full = !this.#opened!.port.writer.relay(bytes, from, to)
  }

  /** A part of a reply to it has gone on, and the rest has not come. */
  passesTo(guest: Guest): boolean {
    return this.#passing === guest && this.#isPassing
  }

  /** Somebody waits for the rest of a reply. */
  get #isPassing(): boolean {
    return this.#passing !== undefined && this.#opened!.source.inPassedFrame
  }

  cutAtFrameEnd(): void {
    this.#opened?.source.cutAtFrameEnd()
  }

  /** It is gone, and wants no more. */
  forget(guest: Guest): void {
    this.#joined?.forget(guest)
    this.#slots.forget(guest, given => this.#joined?.heir(given))
    if (this.#passing === guest) this.#passing = undefined
    const at = this.#answered.indexOf(guest)
    if (at >= 0) this.#answered.splice(at, 1)
    this.goIfSpent()
  }

  /** If nobody waits for what is out there, or it takes no more calls. */
  goIfSpent(): void {
    const spent = this.#slots.abandoned && !this.#isPassing && (this.#retired || this.#slots.size > 0)
    // Nor before those are told whose calls have just been answered.
    if (spent && this.#answered.length === 0 && this.#owner.spent(this)) this.leave()
  }

  /** Takes leave of the daemon. */
  leave(): void {
    this.#services.clock.cancel(this.#timer)
    if (this.#slots.size > 0) this.#opened?.port.close()
    else this.#opened?.port.leave()
  }

  /** An unexpected failure is as good as its loss. */
  close(why: string): void {
    const cut = this.#isPassing
    this.#opened?.port.close()
    this.#lose(rpcError(why), CLOSE_REASON.error, cut)
  }

  // ReplyJudge

  replied(bytes: Buffer, at: number, here: boolean): Disposition | undefined {
    // No call that goes here is answered with descriptors.
    if (frameType(bytes, at) !== MESSAGE.reply) return undefined
    const given = frameSerial(bytes, at)
    const place = this.#slots.find(given)
    if (place < 0) return undefined
    const guest = this.#slots.userAt(place)
    const length = frameLength(bytes, at)
    if (!here && (length <= MAX_KEPT_BYTES || guest?.wholeOnly === true)) return DISPOSITION.collect
    if (guest === undefined) {
      this.#settled(place, given, bytes, at, here)
      return DISPOSITION.skip
    }
    putFrameSerial(bytes, at, this.#slots.serialAt(place))
    const found = guest.user.judge.replied(bytes, at, here)
    if (found === undefined || found === DISPOSITION.collect) {
      putFrameSerial(bytes, at, given)
      return found
    }
    this.#settled(place, given, bytes, at, here)
    guest.answered()
    this.#answered.push(guest)
    const joined = this.#joined?.take(given)
    if (joined !== undefined) this.#copies.add(joined, bytes, at, at + length)
    if (found !== DISPOSITION.pass) return found
    if (here) {
      guest.take(bytes, at, at + length, true)
      return DISPOSITION.skip
    }
    // The one before has its reply by now, and is told so with the others.
    if (this.#passing !== undefined) this.#answered.push(this.#passing)
    this.#passing = guest
    guest.passing = this
    this.#opened!.source.cutAtFrameEnd()
    return DISPOSITION.pass
  }

  #settled(place: number, given: number, bytes: Buffer, at: number, here: boolean): void {
    const first = this.#firsts.get(given)
    if (first !== undefined) {
      this.#firsts.delete(given)
      // What has failed before may be the first still.
      if (!here || !isRpcError(bytes, at)) this.#ready |= first
    }
    if (here && losesSecondary(bytes, at)) this.#retired = true
    this.#slots.remove(place)
    if (this.#slots.size === 0) this.#idle()
  }

  /** Nobody registers here. */
  event(): Disposition {
    return DISPOSITION.skip
  }

  // ReplySink: of a long reply that goes on as it comes

  relay(bytes: Buffer, from: number, to: number): void {
    this.#passing?.take(bytes, from, to, false)
  }

  // DriverEvents

  driverJudged(): void {
    if (!this.#opened!.source.inPassedFrame) this.#passedOn()
    this.#tellAnswered()
    this.goIfSpent()
    this.#owner.judged()
  }

  /** The reply that went on in parts is through. */
  #passedOn(): void {
    const passed = this.#passing
    if (passed === undefined) return
    this.#passing = undefined
    passed.passing = undefined
    passed.judged()
  }

  #tellAnswered(): void {
    // One that is told may leave, and others with it.
    for (let guest = this.#answered.shift(); guest !== undefined; guest = this.#answered.shift()) guest.judged()
  }

  driverDrained(): void {
    this.#full = false
    this.#owner.judged()
  }

  driverLost(_: DriverPort, error: RemoteError, reason: number, cut: boolean): void {
    this.#lose(error, reason, cut)
  }

  driverViolated(what: string): void {
    this.#owner.violated(what)
  }

  #lose(error: RemoteError, reason: number, cut: boolean): void {
    this.#services.clock.cancel(this.#timer)
    this.#owner.lost(this, error, reason, cut ? this.#passing : undefined)
    // Who had an answer just before may have held back something for it, and loses nothing here.
    if (!cut) this.#passedOn()
    this.#tellAnswered()
  }

  /** Who has calls here. */
  guests(): Set<Guest> {
    const guests = this.#slots.users()
    this.#joined?.addUsersTo(guests)
    return guests
  }

  // Idle

  #idle(): void {
    const { clock } = this.#services
    this.#idleSince = clock.now
    this.#owner.used(this, false)
    clock.set(this.#timer, this.#idleMs())
  }

  /** There are too many that are idle. */
  goIdle(): void {
    if (this.#slots.size === 0 && !this.#isPassing && this.#owner.idleLong(this)) this.leave()
  }

  timeUp(): void {
    this.reconsider()
  }

  /** It may be idle for another time than before. */
  reconsider(): void {
    if (this.#slots.size > 0) return
    const { clock } = this.#services
    const idleMs = this.#idleMs()
    const left = this.#isPassing ? idleMs : this.#idleSince + idleMs - clock.now
    if (left <= 0 && this.#owner.idleLong(this)) this.leave()
    else clock.set(this.#timer, left > 0 ? left : idleMs)
  }
}
