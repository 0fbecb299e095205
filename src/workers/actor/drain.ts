import { stopping } from '../../protocol/broker-errors.js'
import { Timer, type Clock, type Closable, type Timed } from '../base/clock.js'
import type { Drained } from '../session/session-owner.js'
import type { Figures } from '../thread/figures.js'

/** Sessions that are told between two turns of the loop. */
const BATCH = 256
/** It is looked so often who has come to an end. */
const LOOK_MS = 100
/** Looks, about five seconds: whoever is waited for alone may be a stranger who reads nothing, or stops within a frame. */
const LOOKS_AT_ONE = 50

export interface DrainedSession extends Closable {
  readonly leave: Drained
}

/** Whose sessions are drained. */
export interface DrainOwner {
  readonly clock: Clock
  readonly figures: Figures
  /** Driver connections that end in order: there is room for so many more. */
  readonly leaving: { readonly room: number }
  /** Those that are not closed. */
  sessions(): Iterable<DrainedSession>
  /** An exception while one was served. */
  failed(session: Closable, error: unknown): void
}

/** Sees off the clients of one thread: each is closed when all that it has asked for is done, the rest when the time is over. */
export class Drain implements Timed {
  readonly #owner: DrainOwner
  readonly #until: number
  readonly #timer = new Timer(this)
  /** Whom it sees off, and how often nothing else was waited for than the client. Some may have gone since the last look. */
  #its: Map<DrainedSession, number>
  /** Those of them that are not told yet. */
  readonly #untold: DrainedSession[]
  #stopped = false

  /** `ms`: until what is left is cut off. */
  constructor(owner: DrainOwner, ms: number) {
    this.#owner = owner
    this.#until = owner.clock.now + ms
    owner.figures.cutOff = false
    this.#untold = [...owner.sessions()]
    this.#its = new Map(this.#untold.map(session => [session, 0]))
    this.#tell()
  }

  /** Nothing is done any more. */
  stop(): void {
    this.#stopped = true
    this.#owner.clock.cancel(this.#timer)
  }

  timeUp(): void {
    this.#tell()
  }

  #tell(): void {
    if (this.#stopped) return
    const { leaving } = this.#owner
    for (const session of this.#untold.splice(0, Math.min(BATCH, leaving.room))) this.#try(session, () => session.leave.drain())
    if (this.#untold.length > 0 && leaving.room > 0) setImmediate(() => this.#tell())
    else this.#look()
  }

  #look(): void {
    const { clock, figures } = this.#owner
    for (const session of this.#left()) this.#try(session, () => this.#lookAt(session))
    this.#its = new Map(this.#left().map(session => [session, this.#its.get(session)!]))
    figures.left = count(this.#its.keys())
    if (this.#its.size === 0) return
    if (clock.now < this.#until) return clock.set(this.#timer, LOOK_MS)
    figures.cutOff = true
    for (const session of this.#its.keys()) this.#try(session, () => session.leave.cutOff(stopping()))
  }

  #lookAt(session: DrainedSession): void {
    const { leave } = session
    leave.closeIfDrained()
    if (!leave.waitsForClient) return
    const looks = this.#its.get(session)! + 1
    this.#its.set(session, looks)
    if (looks > LOOKS_AT_ONE) leave.giveUp()
  }

  #left(): DrainedSession[] {
    return [...this.#owner.sessions()].filter(session => this.#its.has(session))
  }

  #try(session: DrainedSession, act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#owner.failed(session, error)
    }
  }
}

function count(sessions: Iterable<DrainedSession>): { clients: number; calls: number; streams: number } {
  const left = { clients: 0, calls: 0, streams: 0 }
  for (const { leave: { unfinished } } of sessions) {
    left.clients++
    left.calls += unfinished.calls
    left.streams += unfinished.streams
  }
  return left
}
