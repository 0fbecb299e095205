import { readDriverError, RemoteError, rpcError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameSerial,
  frameStatus,
  frameType,
  HEADER_BYTES,
  MESSAGE,
  STATUS
} from '../../protocol/header.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import { callFrame } from '../../protocol/messages/frames.js'
import type { RegistrationKind } from '../../protocol/messages/events.js'
import { Timer, type Clock, type Timed } from '../base/clock.js'
import type { ConnectionUse } from '../thread/driver-report.js'
import type { Turns } from '../thread/turns.js'
import type { DriverPort, DriverUser } from './driver-port.js'
import type { DriverOpening, OpenedDriver } from './drivers.js'
import { losesSecondary } from './secondaries.js'
import { SessionlessUser } from './sessionless-user.js'
import { SharedRegistrations, type RegistrationCalls } from './shared-registrations.js'

/** A reply is an id, or an error. */
const MAX_REPLY_BYTES = 64 * 1024

/** Whose events they are: a name that is open at a driver daemon. */
export interface EventConnectionOwner {
  /** The same name, with the same identity, on another connection. */
  openOwn(user: DriverUser): DriverOpening
  violated(what: string): void
  /** It is closed, and would be opened anew. */
  closed(connection: EventConnection): void
  useOf(connection: EventConnection): ConnectionUse | undefined
}

/** What it needs of its thread. */
export interface EventServices {
  readonly clock: Clock
  readonly turns: Turns
  readonly settings: { readonly driverIdleTimeoutMs: number }
  readonly io: { failed(session: undefined, error: unknown): void }
}

interface Call {
  readonly kind: RegistrationKind
  readonly proc: number
  readonly frame: Buffer
  readonly answered: (outcome: Buffer | RemoteError) => void
}

/**
 * The connection to a driver daemon on which all who share connections are registered for events. It is opened for the first
 * registration, and closed when there has been none for a while, or at once if it is of no more use.
 */
export class EventConnection extends SessionlessUser implements RegistrationCalls, Timed {
  readonly registrations: SharedRegistrations
  readonly #owner: EventConnectionOwner
  readonly #services: EventServices
  #opening: DriverOpening | undefined
  #opened: OpenedDriver | undefined
  #serial = 0
  /** By serial: no two of a kind, so that the daemon carries them out in their order. */
  readonly #out = new Map<number, Call>()
  readonly #waiting: Call[] = []
  /** The daemon has lost here another daemon that it needs for some: it never gets that back. */
  isSpent = false
  readonly #timer = new Timer(this)

  constructor(owner: EventConnectionOwner, services: EventServices) {
    super()
    this.#owner = owner
    this.#services = services
    this.registrations = new SharedRegistrations(this, services.turns)
  }

  get out(): number {
    return this.#out.size
  }

  /** Nobody notes when its few calls began. */
  readonly oldestMs = undefined

  use(): ConnectionUse | undefined {
    return this.#owner.useOf(this)
  }

  // RegistrationCalls

  call(kind: RegistrationKind, proc: number, args: Buffer, answered: Call['answered']): void {
    this.#waiting.push({ kind, proc, frame: callFrame(proc, ++this.#serial, args, kind.prog), answered })
    if (this.#opened !== undefined) this.#release()
    else this.#opening ??= this.#open()
  }

  used(yes: boolean): void {
    const { clock, settings } = this.#services
    if (yes) clock.cancel(this.#timer)
    else clock.set(this.#timer, settings.driverIdleTimeoutMs)
  }

  flow(open: boolean): void {
    if (open) this.#opened?.port.resume()
    else this.#opened?.port.pause()
  }

  #open(): DriverOpening {
    const opening = this.#owner.openOwn(this)
    opening.opened.then(
      opened => this.#use(opening, opened),
      (error: unknown) => this.#notOpened(opening, error)
    ).catch((error: unknown) => this.#services.io.failed(undefined, error))
    return opening
  }

  #use(opening: DriverOpening, opened: OpenedDriver): void {
    if (this.#opening !== opening) return opened.port.close()
    if (!opened.serve()) return this.#notOpened(opening, rpcError('driver daemon was lost again'))
    this.#opening = undefined
    this.#opened = opened
    this.#release()
  }

  #notOpened(opening: DriverOpening, error: unknown): void {
    if (!(error instanceof RemoteError)) throw error
    if (this.#opening !== opening) return
    this.#forget()
    this.registrations.unreachable(error)
    this.#owner.closed(this)
  }

  #release(): void {
    const { port } = this.#opened!
    for (let at = 0; at < this.#waiting.length;) {
      const call = this.#waiting[at]!
      if (this.#isOut(call.kind)) at++
      else if (port.begin(call.frame, 0, true) !== DISPOSITION.pass) return
      else {
        this.#waiting.splice(at, 1)
        this.#out.set(frameSerial(call.frame, 0), call)
        port.writer.relay(call.frame, 0, call.frame.length)
      }
    }
  }

  #isOut(kind: RegistrationKind): boolean {
    for (const call of this.#out.values()) if (call.kind === kind) return true
    return false
  }

  // ReplyJudge

  replied(bytes: Buffer, at: number, here: boolean): Disposition | undefined {
    const call = this.#out.get(frameSerial(bytes, at))
    const length = frameLength(bytes, at)
    if (call === undefined || call.proc !== frameProcedure(bytes, at)) return undefined
    if (frameType(bytes, at) !== MESSAGE.reply || length > MAX_REPLY_BYTES) return undefined
    if (!here) return DISPOSITION.collect
    this.#out.delete(frameSerial(bytes, at))
    const body = Buffer.from(bytes.subarray(at + HEADER_BYTES, at + length))
    this.isSpent ||= losesSecondary(bytes, at)
    call.answered(frameStatus(bytes, at) === STATUS.ok ? body : readDriverError(body))
    return DISPOSITION.skip
  }

  event(bytes: Buffer, at: number, here: boolean): Disposition {
    if (!here) return DISPOSITION.collect
    this.registrations.heard(bytes, at)
    return DISPOSITION.skip
  }

  relay(): void {
    throw new Error('something passes from a connection for events')
  }

  // DriverEvents

  driverJudged(): void {
    if (this.isSpent && this.registrations.size === 0) this.stop()
    else if (this.#opened !== undefined) this.#release()
  }

  driverDrained(): void {
    // What is written here is little.
  }

  driverViolated(what: string): void {
    this.#owner.violated(what)
  }

  driverLost(_: DriverPort, error: RemoteError, reason: number): void {
    this.#forget()
    this.registrations.lost(error, reason)
    this.#owner.closed(this)
  }

  /** An unexpected failure is as good as its loss. */
  close(why: string): void {
    const opened = this.#opened
    opened?.port.close()
    this.#opening?.abandon()
    this.#forget()
    this.registrations.lost(rpcError(why), CLOSE_REASON.error)
    this.#owner.closed(this)
  }

  // The end

  /** The time for which it is to stay may be another. */
  reconsider(): void {
    this.used(this.registrations.size > 0)
  }

  /** Nobody has had a registration for a while. */
  timeUp(): void {
    if (this.registrations.size === 0) this.stop()
  }

  /** Nobody is left who could hear of anything. */
  stop(): void {
    const [opening, opened, busy] = [this.#opening, this.#opened, this.#out.size > 0]
    this.#forget()
    this.registrations.stop()
    opening?.abandon()
    if (busy) opened?.port.close()
    else opened?.port.leave()
    this.#owner.closed(this)
  }

  #forget(): void {
    this.#services.clock.cancel(this.#timer)
    this.#opening = undefined
    this.#opened = undefined
    this.#out.clear()
    this.#waiting.length = 0
  }
}
