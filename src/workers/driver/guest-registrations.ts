import { driverClosed } from '../../protocol/broker-errors.js'
import { RemoteError, undecodable } from '../../protocol/errors.js'
import { DISPOSITION } from '../../protocol/frame-reader.js'
import { frameLength, frameProcedure, frameProgram, HEADER_BYTES, readHeader, type Header } from '../../protocol/header.js'
import {
  alreadyTracked,
  notRegistered,
  readOlderEvent,
  readTopic,
  registrationKind,
  repeats,
  withIds,
  type EventFrame,
  type Topic
} from '../../protocol/messages/event-forms.js'
import { CLOSE_REASON } from '../../protocol/messages/connect.js'
import { decodeCallbackId, encodeCallbackId, type RegistrationKind } from '../../protocol/messages/events.js'
import { XdrError } from '../../protocol/xdr.js'
import type { Closable } from '../base/clock.js'
import type { Turns, Unfinished } from '../thread/turns.js'
import type { DriverUser } from './driver-port.js'
import { answerCall } from './own-answers.js'
import type { Registrant, SharedRegistrations } from './shared-registrations.js'

/** What a session has beyond that, or with longer arguments, it has on a connection of its own. */
const MOST = 1024
const MAX_ARGUMENT_BYTES = 1024
/** Events that are kept for a client that does not read. */
const MAX_UNREAD_BYTES = 1024 * 1024
/** Far from the ids of daemons, which a session sees as well if it has registrations on a connection of its own. */
const FIRST_ID = 0x4000_0000

const NOTHING = Buffer.alloc(0)

type Answer = (outcome: Buffer | RemoteError) => void

/** The session whose registrations they are. */
export interface RegistrationsOwner {
  readonly user: DriverUser
  /** Where it registers: with all who share its key. */
  readonly shared: SharedRegistrations
  /** What it is given now waits for the client to read, or for the end of a reply. */
  readonly isBehind: boolean
  /** A whole frame for it. */
  take(bytes: Buffer, from: number, to: number, whole: boolean): void
  lost(error: RemoteError, reason: number, cut: boolean): void
}

/** What a call is about: a topic to register for, an id to deregister, or the event of an older form. */
type Wish = { topic: Topic } | { id: number } | { event: number }

/**
 * The event registrations that a session has in common with others, each with an id that is the session's. What a daemon
 * says to one that registers twice, or deregisters what it has not, is said here.
 */
export class GuestRegistrations implements Unfinished {
  readonly #owner: RegistrationsOwner
  readonly #turns: Turns
  /** In the order in which they were made, which older calls to deregister go by. */
  readonly #held: Held[] = []
  #nextId = FIRST_ID
  /** The session has registrations on a connection of its own as well. */
  isElsewhere = false
  /** Calls that are to be carried out. */
  #calls: { call: Header; args: Buffer }[] = []
  #ended = false
  #unreadBytes = 0

  constructor(owner: RegistrationsOwner, turns: Turns) {
    this.#owner = owner
    this.#turns = turns
  }

  get session(): Closable {
    return this.#owner.user.session
  }

  /** Whether the call whose frame stands at `bytes[at]` is carried out here: else it is for a connection of the session's own. */
  takes(bytes: Buffer, at: number): boolean {
    const args = bytes.subarray(at + HEADER_BYTES, at + frameLength(bytes, at))
    return !this.needsOwn(frameProgram(bytes, at), frameProcedure(bytes, at), args)
  }

  needsOwn(prog: number, proc: number, args: Buffer): boolean {
    const kind = registrationKind(prog, proc)!
    const wish = readWish(kind, proc, args)
    if (wish instanceof RemoteError) return false
    if ('id' in wish) return this.isElsewhere && this.#owner.user.judge.driverId(kind, wish.id) < FIRST_ID
    if ('event' in wish) return this.isElsewhere && this.#find(kind, wish) === undefined
    const { topic } = wish
    if (this.#has(topic)) return false
    return this.isElsewhere || topic.filtered || args.length > MAX_ARGUMENT_BYTES || this.#held.length >= MOST
  }

  /** The session has made the call whose frame stands at `bytes[at]`. It is answered in a later turn. */
  called(bytes: Buffer, at: number): void {
    const args = Buffer.from(bytes.subarray(at + HEADER_BYTES, at + frameLength(bytes, at)))
    this.#calls.push({ call: readHeader(bytes, at), args })
    this.#turns.later(this)
  }

  /** Makes a registration again, for a session that comes back. Resolves with the arguments of the reply. */
  renew(prog: number, proc: number, args: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(driverClosed())
      this.#carryOut(prog, proc, args, outcome => (outcome instanceof RemoteError ? reject(outcome) : resolve(outcome)), true)
    })
  }

  goOn(): void {
    if (this.#ended) return
    const calls = this.#calls
    this.#calls = []
    for (const { call, args } of calls) this.#carryOut(call.prog, call.proc, args, outcome => this.#reply(call, outcome))
    this.#owner.user.driverEvents.driverJudged()
  }

  /** An event for the session, with its own id in it. */
  hear(bytes: Buffer, from: number, to: number): void {
    const { user, isBehind } = this.#owner
    if (user.judge.event(bytes, from, true) !== DISPOSITION.pass) return
    this.#unreadBytes = isBehind ? this.#unreadBytes + to - from : 0
    if (this.#unreadBytes <= MAX_UNREAD_BYTES) this.#owner.take(bytes, from, to, true)
    else user.session.close('does not read its events', 'client-stalled')
  }

  /** The client has read all. */
  allRead(): void {
    this.#unreadBytes = 0
  }

  /** The session is gone. */
  end(): void {
    this.#ended = true
    this.#calls = []
    for (const held of this.#held.splice(0)) held.end()
  }

  #reply(call: Header, outcome: Buffer | RemoteError): void {
    if (this.#ended) return
    answerCall(this.#owner.user, call, outcome)
    // Calls that have waited for this answer go on when all that comes from the daemon now is judged.
    this.#turns.later(this)
  }

  #carryOut(prog: number, proc: number, args: Buffer, answer: Answer, renews = false): void {
    const kind = registrationKind(prog, proc)!
    const wish = readWish(kind, proc, args)
    if (wish instanceof RemoteError) answer(wish)
    else if ('topic' in wish) this.#register(kind, wish.topic, answer, renews)
    else this.#deregister(kind, wish, answer)
  }

  #register(kind: RegistrationKind, topic: Topic, answer: Answer, renews: boolean): void {
    if (this.#has(topic)) return answer(alreadyTracked())
    const id = this.#nextId++
    const held = new Held(this, this.#owner, { kind, topic, id, renews }, outcome => {
      if (outcome instanceof RemoteError) this.#drop(held)
      answer(outcome)
    })
    this.#held.push(held)
    held.join()
  }

  #deregister(kind: RegistrationKind, wish: { id: number } | { event: number }, answer: Answer): void {
    const held = this.#find(kind, wish)
    if (held === undefined) return answer(notRegistered(kind, 'id' in wish ? wish.id : wish.event))
    this.#drop(held)
    held.leave()
    answer(kind.form === 'single' ? encodeCallbackId(0) : NOTHING)
  }

  #drop(held: Held): void {
    const at = this.#held.indexOf(held)
    if (at >= 0) this.#held.splice(at, 1)
  }

  #has({ key, kind }: Topic): boolean {
    return !repeats(kind) && this.#held.some(held => held.topic.key === key)
  }

  #find(kind: RegistrationKind, wish: { id: number } | { event: number }): Held | undefined {
    const of = withIds(kind)
    return this.#held.find(({ isMade, topic, id }) =>
      isMade && topic.kind === of && ('id' in wish ? id === wish.id : topic.event === wish.event)
    )
  }
}

interface Asked {
  /** In which way the session has registered. */
  readonly kind: RegistrationKind
  readonly topic: Topic
  readonly id: number
  /** It is made again, for a session that comes back. */
  readonly renews: boolean
}

/** One registration of a session's. */
class Held implements Registrant {
  since = 0
  isMade = false
  readonly #shared: SharedRegistrations

  readonly kind: RegistrationKind
  readonly topic: Topic
  readonly id: number
  readonly #renews: boolean

  constructor(
    readonly session: Pick<GuestRegistrations, 'hear'>,
    readonly owner: RegistrationsOwner,
    { kind, topic, id, renews }: Asked,
    readonly answer: Answer
  ) {
    this.#shared = owner.shared
    this.kind = kind
    this.topic = topic
    this.id = id
    this.#renews = renews
  }

  join(): void {
    this.#shared.join(this.topic, this)
  }

  leave(): void {
    this.#shared.leave(this.topic, this)
  }

  /** The session is gone. */
  end(): void {
    this.leave()
    if (!this.isMade) this.answer(driverClosed())
  }

  registered(): void {
    this.isMade = true
    const { form } = this.kind
    this.answer(form === 'byEvent' ? NOTHING : encodeCallbackId(form === 'byId' ? this.id : 0))
  }

  refused(error: RemoteError): void {
    this.answer(error)
  }

  /** A session that comes back must not lose what it listens for: the daemon has gone again, and it comes back later. */
  unreachable(error: RemoteError): void {
    if (this.#renews) this.owner.lost(error, CLOSE_REASON.error, false)
    else this.answer(error)
  }

  hear(event: EventFrame): void {
    if (this.kind.form === 'byId') {
      event.id = this.id
      this.session.hear(event.bytes, event.from, event.to)
    } else if (event.older !== undefined) this.session.hear(event.older, 0, event.older.length)
  }

  lost(error: RemoteError, reason: number): void {
    this.owner.lost(error, reason, false)
  }
}

/** What a call asks for, or the error that a daemon answers to what nobody can understand. */
function readWish(kind: RegistrationKind, proc: number, args: Buffer): Wish | RemoteError {
  try {
    if (proc === kind.register) return { topic: readTopic(kind, args) }
    return kind.form === 'byId' ? { id: decodeCallbackId(args) } : { event: readOlderEvent(kind, args) }
  } catch (error) {
    if (error instanceof XdrError) return undecodable()
    if (error instanceof RemoteError) return error
    throw error
  }
}
