import { errorReply, RemoteError } from '../../protocol/errors.js'
import { readHeader, type Header } from '../../protocol/header.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import { DISPOSITION } from '../../protocol/frame-reader.js'
import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'
import type { DriverUser } from './driver-port.js'

/** Gives a session the answer to a call of its, arguments of a reply or an error, in the place of its driver daemon. */
export function answerCall({ judge, replies }: DriverUser, call: Header, outcome: Buffer | RemoteError | undefined): void {
  const reply = outcome instanceof RemoteError ? errorReply(call, outcome) : replyFrame(call, outcome)
  if (judge.replied(reply, 0, true) === DISPOSITION.pass) replies.write(reply)
}

/**
 * Answers calls of one session in the place of its driver daemon, a turn later: when a call is about to go out, the session
 * does not know yet that it is out.
 */
export class OwnAnswers implements Unfinished {
  readonly #user: DriverUser
  readonly #turns: Turns
  #answers: { call: Header; error: RemoteError | undefined }[] = []

  constructor(user: DriverUser, turns: Turns) {
    this.#user = user
    this.#turns = turns
  }

  get session(): Closable {
    return this.#user.session
  }

  /** The call whose header stands at `bytes[at]` succeeds, without anything to tell, or fails. */
  answer(bytes: Buffer, at: number, error: RemoteError | undefined): void {
    this.#answers.push({ call: readHeader(bytes, at), error })
    this.#turns.later(this)
  }

  goOn(): void {
    const answers = this.#answers
    this.#answers = []
    for (const { call, error } of answers) answerCall(this.#user, call, error)
    this.#user.driverEvents.driverJudged()
  }

  /** Nobody waits for them any more. */
  drop(): void {
    this.#answers.length = 0
  }
}
