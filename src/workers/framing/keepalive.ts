import { Timer, type Clock, type Closable, type Timed } from '../base/clock.js'
import type { KeepaliveSettings } from '../thread/settings.js'

export interface KeepalivePeer {
  readonly session: Closable
  ping(): void
  pong(): void
  /** Not read for now, so silence means nothing. */
  readonly paused: boolean
  /** It has not answered a ping in time. */
  missed?(): void
  /** The peer has been silent for `intervalMs * (count + 1)`. */
  dead(): void
}

/** How often a peer that does not get pings is looked after. */
const DEFAULT_INTERVAL_MS = 5000
/** How often a paused peer is told that we live. The shortest interval that clients can set is a second. */
const HEARTBEAT_MS = 500

/**
 * The broker's side of keepalive with one peer, client or driver daemon (`virKeepAlive`): a ping for each interval of
 * silence, and any frame that comes in resets the count.
 *
 * While the peer is not read, because what it sends has nowhere to go, its pings go unanswered too. Then it gets
 * unasked PONGs: every frame counts as a sign of life.
 */
export class Keepalive implements Timed {
  /** Clock time of the last frame from the peer; stored by its reader for every frame. */
  heardAt = 0
  #unanswered = 0
  #checkedAt = -1
  #pinging = false
  #known = false
  readonly #timer = new Timer(this)

  constructor(
    readonly clock: Clock,
    /** Of the time when the connection began: the timers run by them. */
    readonly settings: KeepaliveSettings,
    readonly peer: KeepalivePeer
  ) {}

  get session(): Closable {
    return this.peer.session
  }

  get #interval(): number {
    return this.settings.intervalMs > 0 ? this.settings.intervalMs : DEFAULT_INTERVAL_MS
  }

  /** Begins to ping (a client asked for feature 10, or the driver is open). More than once is harmless. */
  startPinging(): void {
    this.#pinging = this.settings.intervalMs > 0
    this.peerKnowsIt()
  }

  /** The peer has shown that it speaks keepalive. */
  peerKnowsIt(): void {
    this.#known = true
    if (this.#timer.due < 0) this.clock.set(this.#timer, this.#interval)
  }

  /** The peer is not read from now on. */
  peerPaused(): void {
    if (this.#known) this.clock.set(this.#timer, HEARTBEAT_MS)
  }

  stop(): void {
    this.clock.cancel(this.#timer)
  }

  timeUp(): void {
    const silentMs = this.clock.now - this.heardAt
    if (this.peer.paused) {
      this.heardAt = this.clock.now
      this.peer.pong()
      return this.clock.set(this.#timer, HEARTBEAT_MS)
    }
    if (this.#pinging) {
      if (this.heardAt !== this.#checkedAt) this.#unanswered = 0
      this.#checkedAt = this.heardAt
      if (silentMs < this.#interval) return this.clock.set(this.#timer, this.#interval - silentMs)
      if (this.#unanswered > 0) this.peer.missed?.()
      if (this.#unanswered >= this.settings.count) return this.peer.dead()
      this.#unanswered++
      this.peer.ping()
    }
    this.clock.set(this.#timer, this.#interval)
  }
}
