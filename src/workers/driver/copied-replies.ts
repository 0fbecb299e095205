import { DISPOSITION } from '../../protocol/frame-reader.js'
import { putFrameSerial } from '../../protocol/header.js'
import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'
import { MAX_KEPT_BYTES } from './driver-connection.js'
import type { DriverUser } from './driver-port.js'
import type { HeldReplies } from './held-replies.js'
import type { JoinedCall } from './joined-calls.js'
import type { Caller } from './slots.js'

/** Of a turn of the loop: the thread has other clients. */
const TURN_MS = 2

/** Somebody who gets the reply to another's call. */
export interface Receiver {
  readonly user: Pick<DriverUser, 'session' | 'judge'>
  /** A call of its is answered. */
  answered(): void
  take(bytes: Buffer, from: number, to: number, whole: boolean): void
  /** What had come is judged. */
  judged(): void
  /** This call, which was to be answered with another's reply, goes to the daemon after all. */
  callAgain(frame: Buffer): void
}

interface Copying {
  /** Undefined: there are to be no copies of it. */
  readonly reply: Buffer | undefined
  readonly call: Buffer
  readonly to: Caller<Receiver>[]
}

/** Replies on their way to those whose calls had joined the one that was answered, as many in a turn of the loop as there is time for. */
export class CopiedReplies implements Unfinished {
  readonly #turns: Turns
  readonly #held: Pick<HeldReplies, 'hasRoomFor' | 'kept' | 'dropped'>
  #copying: Copying[] = []
  #current: Receiver | undefined

  constructor(turns: Turns, held: Pick<HeldReplies, 'hasRoomFor' | 'kept' | 'dropped'>) {
    this.#turns = turns
    this.#held = held
  }

  /** Whoever was being served. */
  get session(): Closable {
    return this.#current!.user.session
  }

  /** A whole reply, if it is here: one that is too long is not copied. */
  add(call: JoinedCall<Receiver>, bytes: Buffer, from: number, to: number): void {
    const copied = to - from <= MAX_KEPT_BYTES && this.#held.hasRoomFor(to - from)
    const reply = copied ? Buffer.from(bytes.subarray(from, to)) : undefined
    if (reply !== undefined) this.#held.kept(reply.length)
    this.#copying.push({ reply, call: call.frame, to: call.others })
    this.#turns.later(this)
  }

  /** It is gone. */
  forget(receiver: Receiver): void {
    for (const { to } of this.#copying) {
      const left = to.filter(({ user }) => user !== receiver)
      if (left.length < to.length) to.splice(0, to.length, ...left)
    }
  }

  goOn(): void {
    const until = performance.now() + TURN_MS
    try {
      for (let [first] = this.#copying; first !== undefined && performance.now() < until; [first] = this.#copying) {
        const next = first.to.shift()
        if (next === undefined) this.#done()
        else this.#give(first, next)
      }
    } finally {
      if (this.#copying.length > 0) this.#turns.later(this)
    }
  }

  #done(): void {
    const { reply } = this.#copying.shift()!
    if (reply !== undefined) this.#held.dropped(reply.length)
  }

  #give({ reply, call }: Copying, { user, serial }: Caller<Receiver>): void {
    this.#current = user
    if (reply === undefined || !this.#held.hasRoomFor(reply.length)) {
      const again = Buffer.from(call)
      putFrameSerial(again, 0, serial)
      return user.callAgain(again)
    }
    putFrameSerial(reply, 0, serial)
    const disposition = user.user.judge.replied(reply, 0, true)
    user.answered()
    if (disposition === DISPOSITION.pass) user.take(reply, 0, reply.length, true)
    user.judged()
  }
}
