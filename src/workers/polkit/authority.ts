import { DbusWriter, type Incoming, type MethodCall } from './dbus-message.js'
import { BusLost, SystemBus } from './system-bus.js'
import { Timer, type Clock } from '../base/clock.js'

/** The process that asks to be let in, as the kernel saw it when it connected. */
export interface Subject {
  pid: number
  /** Clock ticks after boot: guards against another process with the same pid. */
  startTime: number
  uid: number
}

export interface Verdict {
  authorized: boolean
  /** Somebody could type a password, if an agent were there to ask for it. */
  challenge: boolean
  /** An agent asked, and the user closed its window. */
  dismissed: boolean
}

/** No answer in time; the question was withdrawn. */
class NoAnswer extends Error {}
/** Too many ask at once. */
class TooMany extends Error {}
/** The client has gone before the answer. */
export class Withdrawn extends Error {}

/** A bus allows a connection 128 calls without an answer; agents keep theirs open while somebody types. */
const IN_FLIGHT = 50
const MAX_WAITING = 1000
/** Includes the time that somebody needs to type a password. libvirt gives 30 s, which is little. */
const DEADLINE_MS = 60_000
const ALLOW_INTERACTION = 1
/** How often a question is asked whose bus goes away before it is answered. */
const MAX_TRIES = 3

const AUTHORITY = {
  destination: 'org.freedesktop.PolicyKit1',
  path: '/org/freedesktop/PolicyKit1/Authority',
  interface: 'org.freedesktop.PolicyKit1.Authority'
} as const

/** A question that was asked, or waits to be asked. */
export interface Check {
  /** Rejects with BusLost, ServiceError, NoAnswer, TooMany or Withdrawn. */
  readonly verdict: Promise<Verdict>
  /** The answer is not wanted any more. */
  withdraw(): void
}

class Question implements Check {
  readonly verdict: Promise<Verdict>
  readonly timer = new Timer({ timeUp: () => this.authority.giveUp(this, new NoAnswer('Timeout was reached')) })
  resolve!: (verdict: Verdict) => void
  reject!: (error: Error) => void
  asked = false

  constructor(
    readonly authority: Authority,
    readonly id: string,
    readonly subject: Subject,
    readonly action: string
  ) {
    this.verdict = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  withdraw(): void {
    this.authority.giveUp(this, new Withdrawn('the client has gone'))
  }
}

/** Asks polkitd, a bounded number of questions at once; one that takes long delays no other. */
export class Authority {
  readonly #bus: SystemBus
  readonly #clock: Clock
  readonly #open = new Set<Question>()
  #waiting: Question[] = []
  #inFlight = 0
  #ids = 0

  constructor(address: string, clock: Clock) {
    this.#bus = new SystemBus(address)
    this.#clock = clock
  }

  check(subject: Subject, action: string): Check {
    const question = new Question(this, `virtbroker-${++this.#ids}`, subject, action)
    if (this.#waiting.length >= MAX_WAITING) {
      question.reject(new TooMany('too many clients ask polkit at once'))
      return question
    }
    this.#open.add(question)
    this.#clock.set(question.timer, DEADLINE_MS)
    this.#waiting.push(question)
    this.#askNext()
    return question
  }

  close(): void {
    this.#waiting = []
    this.#bus.close()
  }

  /** Ends a question without its answer; polkitd is told, so that an agent's window closes. */
  giveUp(question: Question, why: Error): void {
    if (!this.#settle(question)) return
    question.reject(why)
    if (!question.asked) {
      this.#waiting = this.#waiting.filter(other => other !== question)
      return
    }
    const body = new DbusWriter().string(question.id).finish()
    const cancel = { ...AUTHORITY, member: 'CancelCheckAuthorization', signature: 's', body, noReply: true }
    this.#bus.call(cancel).catch(() => {})
  }

  #askNext(): void {
    while (this.#inFlight < IN_FLIGHT) {
      const question = this.#waiting.shift()
      if (question === undefined) return
      question.asked = true
      this.#inFlight++
      void this.#ask(question).finally(() => {
        this.#inFlight--
        this.#askNext()
      })
    }
  }

  async #ask(question: Question): Promise<void> {
    const { id, subject, action } = question
    const body = encodeCheck(subject, action, id)
    const call = { ...AUTHORITY, member: 'CheckAuthorization', signature: '(sa{sv})sa{ss}us', body }
    try {
      const verdict = decodeVerdict(await this.#insist(question, call))
      if (this.#settle(question)) question.resolve(verdict)
    } catch (error) {
      if (this.#settle(question)) question.reject(error as Error)
    }
  }

  /** A question whose bus goes away is asked again on the next connection, if there is one. */
  async #insist(question: Question, call: MethodCall): Promise<Incoming> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#bus.call(call)
      } catch (error) {
        if (!(error instanceof BusLost) || tries === MAX_TRIES || !this.#open.has(question)) throw error
      }
    }
  }

  #settle(question: Question): boolean {
    this.#clock.cancel(question.timer)
    return this.#open.delete(question)
  }
}

function encodeCheck({ pid, startTime, uid }: Subject, action: string, cancellationId: string): Buffer {
  return new DbusWriter()
    .align(8)
    .string('unix-process')
    .array(8, entries => {
      const entry = (name: string, type: string): DbusWriter => entries.align(8).string(name).signature(type)
      entry('pid', 'u').u32(pid)
      entry('start-time', 't').u64(startTime)
      entry('uid', 'i').i32(uid | 0)
    })
    .string(action)
    .array(8, () => {})
    .u32(ALLOW_INTERACTION)
    .string(cancellationId)
    .finish()
}

function decodeVerdict({ signature, body }: Incoming): Verdict {
  if (signature !== '(bba{ss})') throw new BusLost(`polkit answered with ${signature}`)
  const authorized = body.align(8).boolean()
  const challenge = body.boolean()
  const details = new Map(body.array(8, entry => [entry.string(), entry.string()] as const))
  return { authorized, challenge, dismissed: details.get('polkit.dismissed') === 'true' }
}
