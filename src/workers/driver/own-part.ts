import type { RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import { frameProcedure, frameProgram, frameType, MESSAGE } from '../../protocol/header.js'
import type { RegistrationKind } from '../../protocol/messages/events.js'
import { lookup } from '../../protocol/procedures.js'
import type { Closable } from '../base/clock.js'
import type { FrameSource } from '../framing/frame-writer.js'
import type { ConnectionUse, OwnReason } from '../thread/driver-report.js'
import { PROMOTIONS, type Promotion } from '../thread/metric-families.js'
import type { DriverEvents, DriverPort, DriverUser, ReplyJudge, ReplySink } from './driver-port.js'

/** What happens to the connection that a guest has for itself. */
export interface OwnPartOwner {
  ownJudged(): void
  ownLost(error: RemoteError, reason: number, cut: boolean): void
}

/** A session as the user of a connection of its own beside a shared one: it counts what is out there. */
export class OwnPart implements DriverUser, ReplyJudge, DriverEvents {
  readonly #user: DriverUser
  readonly #owner: OwnPartOwner
  readonly #why: OwnReason
  /** Calls that are not answered. */
  out = 0
  /** Its calls go there. Before and after that nothing from there is meant for it, and it may be getting a reply from elsewhere. */
  used = false

  /** `why`: what one of its calls has bound. */
  constructor(user: DriverUser, owner: OwnPartOwner, why: OwnReason) {
    this.#user = user
    this.#owner = owner
    this.#why = why
  }

  get session(): Closable {
    return this.#user.session
  }

  get judge(): this {
    return this
  }

  get driverEvents(): this {
    return this
  }

  get replies(): ReplySink {
    return this.#user.replies
  }

  get relayed(): FrameSource {
    return this.#user.relayed
  }

  get sender(): number | undefined {
    return this.#user.sender
  }

  use(): ConnectionUse | undefined {
    const use = this.#user.use()
    return use && { ...use, why: this.#why }
  }

  get bound(): boolean {
    return this.#user.judge.bound
  }

  get onlyReads(): boolean {
    return this.#user.judge.onlyReads
  }

  replied(bytes: Buffer, at: number, here: boolean): Disposition | undefined {
    const found = this.used ? this.#user.judge.replied(bytes, at, here) : undefined
    if (found !== undefined && found !== DISPOSITION.collect) this.out--
    return found
  }

  streamPacket(bytes: Buffer, at: number): Disposition | undefined {
    return this.used ? this.#user.judge.streamPacket(bytes, at) : undefined
  }

  event(bytes: Buffer, at: number, here: boolean): Disposition {
    return this.used ? this.#user.judge.event(bytes, at, here) : DISPOSITION.skip
  }

  driverId(kind: RegistrationKind, id: number): number {
    return this.#user.judge.driverId(kind, id)
  }

  driverJudged(): void {
    this.#owner.ownJudged()
  }

  driverDrained(): void {
    this.#user.driverEvents.driverDrained()
  }

  driverLost(_: DriverPort, error: RemoteError, reason: number, cut: boolean): void {
    this.#owner.ownLost(error, reason, cut)
  }

  driverViolated(what: string): void {
    this.#user.driverEvents.driverViolated(what)
  }
}

/** Why a call needs a connection of its own. */
export function promotionOf(bytes: Buffer, at: number): Promotion {
  const procedure = lookup(frameProgram(bytes, at), frameProcedure(bytes, at))
  const binds = procedure?.binds ?? 'unknown'
  if (binds === 'nothing') return frameType(bytes, at) === MESSAGE.call ? 'long' : 'descriptors'
  const why = binds === 'autodestroyFlag' ? 'autodestroy' : binds
  return PROMOTIONS.find(known => known === why) ?? 'unknown'
}
