import { driverClosed } from '../../protocol/broker-errors.js'
import type { RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import type { Counters } from '../thread/counters.js'
import { FAMILIES, PROMOTIONS, type Promotion } from '../thread/metric-families.js'
import type { DriverUser } from './driver-port.js'
import type { DriverOpening, OpenedDriver } from './drivers.js'
import { OwnPart, type OwnPartOwner } from './own-part.js'

/**
 *     none ─► opening ─► ready ─► used ─► none
 *       └────────┴─────────┴───────┴────► over
 */
type State = 'none' | 'opening' | 'ready' | 'used' | 'over'

const LEGAL: Record<State, readonly State[]> = {
  none: ['opening', 'over'],
  opening: ['ready', 'none', 'over'],
  /** It is there, and a part of a reply from elsewhere has gone on to the client, whose rest goes first. */
  ready: ['used', 'over'],
  /** The guest's calls go there. */
  used: ['none', 'over'],
  /** The guest has gone. */
  over: []
}

/** The guest whose it is. */
export interface OwnConnectionOwner {
  readonly user: DriverUser
  /** Its client takes no more for now. */
  readonly isPaused: boolean
  /** A part of a reply from elsewhere has gone on to its client, and the rest has not. */
  readonly isPassing: boolean
  openOwn(user: DriverUser): DriverOpening
  lost(error: RemoteError, reason: number, cut: boolean): void
}

/** The connection that a guest has for itself, for as long as anything is bound to it. */
export class OwnConnection implements OwnPartOwner {
  readonly #owner: OwnConnectionOwner
  readonly #counters: Counters
  #state: State = 'none'
  #opening: DriverOpening | undefined
  /** Until it is used. */
  #coming: Promise<void> | undefined
  #opened: OpenedDriver | undefined
  #part: OwnPart | undefined
  /** It was asked for something of which nobody can tell the end. */
  forGood = false

  constructor(owner: OwnConnectionOwner, counters: Counters) {
    this.#owner = owner
    this.#counters = counters
  }

  #become(state: State): boolean {
    if (!LEGAL[this.#state].includes(state)) return false
    this.#state = state
    return true
  }

  /** Undefined while the guest's calls do not go there. */
  get used(): OpenedDriver | undefined {
    return this.#state === 'used' ? this.#opened : undefined
  }

  /** It will be used. */
  get isComing(): boolean {
    return this.#state === 'opening' || this.#state === 'ready'
  }

  /** Opens it, where it is not being opened already. Rejects with the RemoteError for the call that needs it. */
  promote(why: Promotion): Promise<void> {
    return (this.#coming ??= this.#open(why))
  }

  async #open(why: Promotion): Promise<void> {
    this.#become('opening')
    this.#counters.add(FAMILIES.promotions, 1, PROMOTIONS.indexOf(why))
    const part = new OwnPart(this.#owner.user, this, why)
    const opening = (this.#opening = this.#owner.openOwn(part))
    try {
      const opened = await opening.opened
      if (this.#state !== 'opening' || !opened.serve()) throw driverClosed()
      this.#part = part
      this.#opened = opened
      this.#become('ready')
      this.use()
    } catch (error) {
      this.#coming = undefined
      this.#become('none')
      throw error
    } finally {
      this.#opening = undefined
    }
  }

  /** If it is there, and nothing stands in the way. */
  use(): void {
    if (this.#owner.isPassing || !this.#become('used')) return
    this.#coming = undefined
    this.#part!.used = true
    if (this.#owner.isPaused) this.#opened!.port.pause()
  }

  /** As DriverPort, while it is used. */
  begin(bytes: Buffer, at: number, whole: boolean): Disposition {
    const disposition = this.#opened!.port.begin(bytes, at, whole)
    if (disposition === DISPOSITION.pass) this.#part!.out++
    return disposition
  }

  /** A call of the broker's own, once it is there. */
  async call(proc: number, args: Buffer, prog: number): Promise<Buffer> {
    if (this.#opened === undefined) throw driverClosed()
    return this.#opened.call(proc, args, prog)
  }

  ownJudged(): void {
    const { user } = this.#owner
    user.driverEvents.driverJudged()
    const { used } = this
    if (used === undefined || this.forGood || this.#part!.out > 0 || user.judge.bound) return
    // Nor before what has begun, there or here, is through.
    if (used.source.inPassedFrame || user.relayed.inPassedFrame) return
    this.#become('none')
    this.#opened = undefined
    this.#part!.used = false
    used.port.leave()
    // What it has not taken yet keeps nobody from reading the client.
    user.driverEvents.driverDrained()
  }

  ownLost(error: RemoteError, reason: number, cut: boolean): void {
    this.#opened = undefined
    this.#owner.lost(error, reason, cut)
  }

  /** The guest is gone. `inOrder`: takes leave of the daemon if it was used. */
  end(inOrder: boolean): void {
    const { used } = this
    if (!this.#become('over')) return
    if (inOrder && used !== undefined) used.port.leave()
    else this.#opened?.port.close()
    this.#opened = undefined
    this.#opening?.abandon()
  }
}
