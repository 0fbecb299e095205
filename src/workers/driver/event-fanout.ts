import { EventFrame } from '../../protocol/messages/event-forms.js'
import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'

/** An event for so many is sent at once. */
const AT_ONCE = 32
/** Of a turn of the loop, for events that go to more: the thread has other clients. */
const TURN_MS = 2
/** How many are sent between two looks at the time. */
const BETWEEN_LOOKS = 16
/** Bytes of events that wait here before no more are read. */
const MOST_BYTES = 256 * 1024

/** Somebody who hears of events. */
export interface Listener {
  /** Number of the first event that it hears. */
  since: number
  hear(event: EventFrame): void
}

interface Sending {
  readonly event: EventFrame
  readonly number: number
  /** Who leaves meanwhile is not met any more. Who joins is, but does not hear what was before. */
  readonly listeners: Iterator<Listener, undefined>
}

export interface FanoutOwner {
  /** Whom an unexpected failure costs the connection. */
  readonly session: Closable
  /** Whether more events may come for now. */
  flow(open: boolean): void
}

/** Events on their way to all who listen, in their order, as many in a turn of the loop as there is time for. */
export class EventFanout implements Unfinished {
  readonly #owner: FanoutOwner
  readonly #turns: Turns
  #sending: Sending[] = []
  #bytes = 0
  /** Number of the next event. */
  next = 0

  constructor(owner: FanoutOwner, turns: Turns) {
    this.#owner = owner
    this.#turns = turns
  }

  get session(): Closable {
    return this.#owner.session
  }

  /** The event whose header stands at `bytes[at]`. It may be changed there. */
  send(bytes: Buffer, at: number, to: ReadonlySet<Listener>): void {
    const number = this.next++
    const event = new EventFrame(bytes, at)
    if (this.#sending.length === 0 && to.size <= AT_ONCE) {
      for (const listener of to) if (listener.since <= number) listener.hear(event)
      return
    }
    this.#sending.push({ event: event.kept(), number, listeners: to.values() })
    this.#bytes += event.length
    if (this.#bytes > MOST_BYTES) this.#owner.flow(false)
    this.#turns.later(this)
  }

  /** Nobody listens any more. */
  stop(): void {
    this.#sending = []
    this.#bytes = 0
  }

  goOn(): void {
    const until = performance.now() + TURN_MS
    while (this.#sending.length > 0 && performance.now() < until) this.#sendSome(this.#sending[0]!)
    if (this.#sending.length > 0) this.#turns.later(this)
  }

  #sendSome(first: Sending): void {
    const { event, number, listeners } = first
    for (let count = 0; count < BETWEEN_LOOKS; count++) {
      const next = listeners.next()
      if (next.done === true) return this.#sent(first)
      if (next.value.since <= number) next.value.hear(event)
    }
  }

  #sent(first: Sending): void {
    // It may have been stopped by one that heard.
    if (this.#sending[0] !== first) return
    this.#sending.shift()
    this.#bytes -= first.event.length
    if (this.#sending.length === 0) this.#owner.flow(true)
  }
}
