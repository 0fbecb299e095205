import { RemoteError, rpcError } from '../../protocol/errors.js'
import { frameLength, frameProcedure, frameProgram, HEADER_BYTES } from '../../protocol/header.js'
import type { Topic } from '../../protocol/messages/event-forms.js'
import { carriesCallbackId, encodeCallbackId, kindOfEvent, type RegistrationKind } from '../../protocol/messages/events.js'
import type { Turns } from '../thread/turns.js'
import { EventFanout, type FanoutOwner, type Listener } from './event-fanout.js'

/** Somebody who registers. */
export interface Registrant extends Listener {
  /** From now on it hears of events. */
  registered(): void
  refused(error: RemoteError): void
  /** There is no connection to the daemon. */
  unreachable(error: RemoteError): void
  /** The connection to the daemon is gone, and all registrations with it. */
  lost(error: RemoteError, reason: number): void
}

/** The daemon, which is asked in the order of these calls for each kind. */
export interface RegistrationCalls extends FanoutOwner {
  /** `answered` gets the arguments of the reply, or the daemon's error; nothing if the daemon is lost. */
  call(kind: RegistrationKind, proc: number, args: Buffer, answered: (outcome: Buffer | RemoteError) => void): void
  /** Whether anything is registered there. */
  used(yes: boolean): void
}

/**
 *     asked ─► made ─┐
 *       └────────────┴─► gone
 */
type State = 'asked' | 'made' | 'gone'

const LEGAL: Record<State, readonly State[]> = {
  /** The daemon has not answered. */
  asked: ['made', 'gone'],
  made: ['gone'],
  /** Refused, or deregistered: whoever wants it registers anew, and the daemon is asked for that afterwards. */
  gone: []
}

class Registration {
  #state: State = 'asked'
  /** What the daemon calls it, once it is made. */
  id = -1
  readonly listeners = new Set<Registrant>()
  readonly waiting = new Map<Registrant, Topic>()

  constructor(readonly topic: Topic) {}

  get isMade(): boolean {
    return this.#state === 'made'
  }

  get isWanted(): boolean {
    return this.listeners.size + this.waiting.size > 0
  }

  become(state: State): void {
    if (!LEGAL[this.#state].includes(state)) throw new Error(`a registration that is ${this.#state} became ${state}`)
    this.#state = state
  }
}

/** The registrations of one kind that are made. */
interface Made {
  /** Each driver of a daemon counts its own ids. */
  readonly byId: Map<number, Registration>
  /** Nobody wants them any more. They are given up one after the other, so that nobody's registration waits for many. */
  readonly unwanted: Set<Registration>
  givingUp: boolean
}

/** The event registrations of all who share the connections of one key: each is made once at the daemon, whoever wants it. */
export class SharedRegistrations {
  readonly #daemon: RegistrationCalls
  readonly #fanout: EventFanout
  readonly #byKey = new Map<string, Registration>()
  readonly #made = new Map<RegistrationKind, Made>()

  constructor(daemon: RegistrationCalls, turns: Turns) {
    this.#daemon = daemon
    this.#fanout = new EventFanout(daemon, turns)
  }

  /** How many are made or asked for. */
  get size(): number {
    return this.#byKey.size
  }

  join(topic: Topic, who: Registrant): void {
    const known = this.#byKey.get(topic.key)
    if (known?.isMade === true) return this.#listens(known, who)
    const registration = known ?? new Registration(topic)
    registration.waiting.set(who, topic)
    if (known === undefined) this.#register(registration)
  }

  leave({ key }: Topic, who: Registrant): void {
    const registration = this.#byKey.get(key)
    if (registration === undefined) return
    registration.listeners.delete(who)
    registration.waiting.delete(who)
    // What is asked for is given up when the daemon has said by which id.
    if (registration.isMade) this.#giveUpUnwanted(registration)
  }

  #listens(registration: Registration, who: Registrant): void {
    who.since = this.#fanout.next
    registration.listeners.add(who)
    this.#madeOf(registration.topic.kind).unwanted.delete(registration)
    who.registered()
  }

  #register(registration: Registration): void {
    const { topic } = registration
    if (this.#byKey.size === 0) this.#daemon.used(true)
    this.#byKey.set(topic.key, registration)
    this.#daemon.call(topic.kind, topic.kind.register, topic.args, outcome => this.#answered(registration, outcome))
  }

  #answered(registration: Registration, outcome: Buffer | RemoteError): void {
    if (this.#byKey.get(registration.topic.key) !== registration) return
    if (outcome instanceof RemoteError) return this.#refused(registration, outcome)
    if (outcome.length < 4) return this.#refused(registration, rpcError('driver daemon sent a reply that cannot be decoded'))
    registration.become('made')
    registration.id = outcome.readInt32BE(0)
    this.#madeOf(registration.topic.kind).byId.set(registration.id, registration)
    for (const who of registration.waiting.keys()) {
      registration.waiting.delete(who)
      this.#listens(registration, who)
    }
    this.#giveUpUnwanted(registration)
  }

  /** Only those get the error who have asked for just that: what others say of the same object may be right. */
  #refused(registration: Registration, error: RemoteError): void {
    registration.become('gone')
    const { topic, waiting } = registration
    this.#remove(topic)
    for (const [who, asked] of waiting) if (!asked.args.equals(topic.args)) this.join(asked, who)
    for (const [who, asked] of waiting) if (asked.args.equals(topic.args)) who.refused(error)
  }

  #giveUpUnwanted(registration: Registration): void {
    if (registration.isWanted) return
    const made = this.#madeOf(registration.topic.kind)
    made.unwanted.add(registration)
    if (!made.givingUp) this.#giveUpNext(made)
  }

  #giveUpNext(made: Made): void {
    const [next] = made.unwanted
    made.givingUp = next !== undefined
    if (next === undefined) return
    const { topic: { kind }, topic, id } = next
    next.become('gone')
    made.unwanted.delete(next)
    made.byId.delete(id)
    // Whatever it answers: nobody listens, and an event that still comes is for nobody.
    this.#daemon.call(kind, kind.deregister, encodeCallbackId(id), () => this.#giveUpNext(made))
    this.#remove(topic)
  }

  #remove({ key }: Topic): void {
    this.#byKey.delete(key)
    if (this.#byKey.size === 0) this.#daemon.used(false)
  }

  #madeOf(kind: RegistrationKind): Made {
    let made = this.#made.get(kind)
    if (made === undefined) this.#made.set(kind, (made = { byId: new Map(), unwanted: new Set(), givingUp: false }))
    return made
  }

  /** A whole event has come, whose header stands at `bytes[at]`. It may be changed there. */
  heard(bytes: Buffer, at: number): void {
    const [prog, proc] = [frameProgram(bytes, at), frameProcedure(bytes, at)]
    if (!carriesCallbackId(prog, proc) || frameLength(bytes, at) < HEADER_BYTES + 4) return
    const kind = kindOfEvent(prog, proc)
    const registration = kind && this.#made.get(kind)?.byId.get(bytes.readInt32BE(at + HEADER_BYTES))
    if (registration !== undefined) this.#fanout.send(bytes, at, registration.listeners)
  }

  /** No connection could be had: nothing is registered. */
  unreachable(error: RemoteError): void {
    for (const who of this.#forgetAll()) who.unreachable(error)
  }

  /** The daemon is gone, or the connection to it. */
  lost(error: RemoteError, reason: number): void {
    for (const who of this.#forgetAll()) who.lost(error, reason)
  }

  /** Nobody is left, and the connection is about to go. */
  stop(): void {
    this.#forgetAll()
  }

  #forgetAll(): Registrant[] {
    const all = [...this.#byKey.values()].flatMap(({ listeners, waiting }) => [...listeners, ...waiting.keys()])
    this.#byKey.clear()
    this.#made.clear()
    this.#fanout.stop()
    return all
  }
}
