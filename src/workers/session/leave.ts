import type { RemoteError } from '../../protocol/errors.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import type { LogKind } from '../base/log-kinds.js'
import type { Drained, Unfinished } from './session-owner.js'
import { WHY } from '../thread/why.js'
import { LEGAL, type SessionState } from './session-state.js'
import type { OpenStreams } from './streams.js'

/** The session whose client leaves. */
export interface LeaveOwner {
  /** The client is not in yet. */
  readonly isNew: boolean
  readonly state: SessionState
  /** The client is told nothing of it, but others are. */
  tellState(state: 'draining'): void
  /** `timeUp` is to be called after so many milliseconds. */
  wait(ms: number): void
  /** What the driver daemon still has in hand fails with the error. */
  giveUpDriver(error: RemoteError): void
  /** Closes it when `reply`, if there is one, is out. */
  closeInOrder(reply: Buffer | undefined): void
  close(why: string, kind: LogKind): void
}

/** The connection to the client, as far as it matters for its end. */
export interface LeavingClient {
  /** Some of what it has sent is not judged, or a frame whose rest has not come. */
  readonly isBehind: boolean
  /** It has still to take some of what it is to get. */
  readonly hasUnsent: boolean
  /** The daemon has the first part of a call whose rest has not come. */
  readonly inPassedFrame: boolean
  readonly inRelayedFrame: boolean
  /** Takes no more calls from it. */
  hearNoCalls(): void
  /** Takes no more of anything. */
  hearNoMore(): void
}

/** What the client has asked for. */
export interface WorkInHand {
  /** Calls are with the driver daemon, or wait for it. */
  readonly busy: boolean
  readonly calls: { readonly size: number }
  readonly waiting: number
  readonly streams: Pick<OpenStreams, 'size' | 'someFinishing'>
  /** The client gets its event about the end of the connection, if it asked for it. */
  tellOfEnd(reason: number): void
}

/** The end of a client that leaves of itself, or because the broker stops: it comes when all is done that it has asked for. */
export class Leave implements Drained {
  readonly #owner: LeaveOwner
  readonly #client: LeavingClient
  readonly #work: WorkInHand
  /** The client sends nothing more, and gets this when all that it sent before is done; undefined while it goes on. */
  #finish: { reply: Buffer | undefined } | undefined
  /** It is closed as soon as all that it has sent is done. `heard`: that has all been judged, and no more is. */
  #draining: { heard: boolean } | undefined
  /** What closes it in order. */
  why = 'closed by the client'

  constructor(owner: LeaveOwner, client: LeavingClient, work: WorkInHand) {
    this.#owner = owner
    this.#client = client
    this.#work = work
  }

  /** The client has said that it leaves. */
  get hasBegun(): boolean {
    return this.#finish !== undefined
  }

  /**
   * The client wants no more than what it has asked for already; then it is told `reply`, and the connection closed, after
   * `ms` milliseconds in spite of all.
   */
  finishWith(reply: Buffer | undefined, ms: number): void {
    this.#finish = { reply }
    this.#client.hearNoMore()
    if (this.outstanding) this.#owner.wait(ms)
    else this.#owner.closeInOrder(reply)
  }

  /** To be called whenever something has come to its end. */
  goOn(): void {
    if (this.#finish === undefined) this.closeIfDrained()
    else if (!this.outstanding) this.#owner.closeInOrder(this.#finish.reply)
  }

  timeUp(): void {
    this.#owner.closeInOrder(this.#finish?.reply)
  }

  /**
   * Whether something is to be done before the client may leave. A stream that the client has not finished itself ends
   * with CONNECT_CLOSE; but who only sends nothing more may still be reading one.
   */
  get outstanding(): boolean {
    const { busy, streams } = this.#work
    const { state } = this.#owner
    if (state === 'opening' || state === 'reopening' || busy) return true
    return this.#finish?.reply === undefined ? streams.size > 0 : streams.someFinishing
  }

  // The broker stops

  drain(): void {
    if (this.#owner.isNew) return this.#owner.close(WHY.stops, 'info')
    if (this.#draining === undefined && this.#canClose) {
      this.#draining = { heard: false }
      this.#owner.tellState('draining')
    }
    this.goOn()
  }

  closeIfDrained(): void {
    const draining = this.#draining
    if (draining === undefined || this.#finish !== undefined || !this.#canClose) return
    if (!draining.heard && this.#client.isBehind) return
    draining.heard = true
    this.#client.hearNoCalls()
    if (!this.outstanding && !this.#client.hasUnsent) this.#sendAway()
  }

  get unfinished(): Unfinished {
    const { calls, waiting, streams } = this.#work
    return { calls: calls.size + waiting + (this.#owner.state === 'opening' ? 1 : 0), streams: streams.size }
  }

  get waitsForClient(): boolean {
    const { hasUnsent, isBehind, inPassedFrame } = this.#client
    if (this.#draining === undefined || !(hasUnsent || isBehind)) return false
    const { calls, waiting, streams } = this.#work
    if (!inPassedFrame) return !this.outstanding
    return calls.size <= 1 && waiting + streams.size === 0
  }

  giveUp(): void {
    this.#owner.close(WHY.stops, 'info')
  }

  cutOff(error: RemoteError): void {
    if (!this.#canClose) return
    // The rest of what its daemon has begun to say is not waited for.
    if (this.#client.inRelayedFrame) return this.#owner.close(WHY.stops, 'info')
    this.#owner.giveUpDriver(error)
    this.#sendAway()
  }

  get #canClose(): boolean {
    return LEGAL[this.#owner.state].includes('closing')
  }

  #sendAway(): void {
    this.#work.tellOfEnd(CLOSE_REASON.endOfFile)
    this.why = WHY.stops
    this.#owner.closeInOrder(this.#finish?.reply)
  }
}
