import { frameLength, frameSerial } from '../../protocol/header.js'
import { MOST_JOINED } from './joined-reads.js'
import type { Caller } from './slots.js'

/** A call that stands for others as well. */
export interface JoinedCall<User> {
  /** The whole frame, with anybody's serial. */
  readonly frame: Buffer
  readonly others: Caller<User>[]
}

/** Of a connection's calls that are out: those that stand for others, by the serials that the daemon knows. */
export class JoinedCalls<User> {
  readonly #calls = new Map<number, JoinedCall<User>>()

  /** The call at `bytes[at]`, a user's, joins that one. False: that one stands for too many already. */
  add(given: number, user: User, bytes: Buffer, at: number): boolean {
    let call = this.#calls.get(given)
    if (call === undefined) {
      this.#calls.set(given, (call = { frame: Buffer.from(bytes.subarray(at, at + frameLength(bytes, at))), others: [] }))
    }
    if (call.others.length >= MOST_JOINED) return false
    call.others.push({ user, serial: frameSerial(bytes, at) })
    return true
  }

  /** The call is answered: for whom else. */
  take(given: number): JoinedCall<User> | undefined {
    const call = this.#calls.get(given)
    if (call !== undefined) this.#calls.delete(given)
    return call
  }

  /** Who made the call has gone: one of the others takes his place. */
  heir(given: number): Caller<User> | undefined {
    const others = this.#calls.get(given)?.others
    const heir = others?.shift()
    if (others?.length === 0) this.#calls.delete(given)
    return heir
  }

  /** This user waits for nothing any more. */
  forget(user: User): void {
    for (const [given, { others }] of this.#calls) {
      const left = others.filter(other => other.user !== user)
      if (left.length === others.length) continue
      others.splice(0, others.length, ...left)
      if (left.length === 0) this.#calls.delete(given)
    }
  }

  addUsersTo(users: Set<User>): void {
    for (const { others } of this.#calls.values()) for (const { user } of others) users.add(user)
  }
}
