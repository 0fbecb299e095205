import { HEADER_BYTES } from '../../protocol/header.js'
import { withIds } from '../../protocol/messages/event-forms.js'
import { carriesCallbackId, kindOfEvent, REGISTRATIONS, type RegistrationKind } from '../../protocol/messages/events.js'

interface Registration {
  readonly kind: RegistrationKind
  /** Arguments of the client's call, to make it again. */
  readonly args: Buffer
  /** The id that the client knows, and the one that its present driver daemon knows. Equal until a reconnection. */
  readonly clientId: number
  driverId: number
}

/** A call to register or deregister whose reply has not come. */
interface Asked {
  readonly kind: RegistrationKind
  readonly args: Buffer
  readonly registers: boolean
}

/** A client with more of them, or of bytes in them, is served all the same, but not reconnected after a restart. */
const MAX_KEPT = 1024
const MAX_KEPT_BYTES = 256 * 1024

/** What became of registrations that were made again, in their order. */
type Outcomes = readonly PromiseSettledResult<Buffer>[]

const KINDS = new Map(
  REGISTRATIONS.flatMap(kind => [
    [key(kind.prog, kind.register), kind] as const,
    [key(kind.prog, kind.deregister), kind] as const
  ])
)

function key(prog: number, proc: number): string {
  return `${prog}:${proc}`
}

/** An id or an event, where arguments begin with one. */
const firstNumber = (args: Buffer): number | undefined => (args.length >= 4 ? args.readInt32BE(0) : undefined)

/** The event of domains that arguments name. The oldest form knows one only, and says nothing. */
const eventOf = ({ form }: RegistrationKind, args: Buffer): number | undefined => (form === 'single' ? 0 : firstNumber(args))

/**
 * The event registrations of one client, kept so that they can be made again at a restarted daemon. The daemon then
 * gives them other ids, while the client goes on with those it knows: from then on ids are translated both ways.
 */
export class Registrations {
  readonly #kept: Registration[] = []
  /** By serial. Made when the first call comes: most clients never have any. */
  #asked: Map<number, Asked> | undefined
  #bytes = 0
  /** Some id differs, so that events have to be looked into. */
  translating = false
  /** There were too many to keep. */
  incomplete = false

  get size(): number {
    return this.#kept.length
  }

  /** The client's call goes to the daemon now. An id in it is put into the daemon's terms, in place. */
  asked(prog: number, proc: number, serial: number, frame: Buffer): void {
    const kind = KINDS.get(key(prog, proc))
    if (kind === undefined) return
    const args = Buffer.from(frame.subarray(HEADER_BYTES))
    const registers = proc === kind.register
    this.#asked ??= new Map()
    this.#asked.set(serial, { kind, args, registers })
    if (registers || kind.form !== 'byId' || args.length < 4) return
    frame.writeInt32BE(this.driverId(kind, args.readInt32BE(0)), HEADER_BYTES)
  }

  /** How the daemon calls what the client knows by that id: by the same, if the client has nothing like it. */
  driverId(kind: RegistrationKind, id: number): number {
    return this.#kept[this.#placeOf(kind, id)]?.driverId ?? id
  }

  /** The reply has come; `ok`: it is no error. The id in it is put into the client's terms, in place. */
  answered(serial: number, ok: boolean, frame: Buffer): void {
    const asked = this.#asked?.get(serial)
    this.#asked?.delete(serial)
    if (asked === undefined || !ok) return
    const { kind, args } = asked
    if (!asked.registers) return this.#forget(kind, args)
    if (this.#kept.length >= MAX_KEPT || this.#bytes + args.length > MAX_KEPT_BYTES) {
      this.incomplete = true
      return
    }
    const hasId = kind.form === 'byId' && frame.length >= HEADER_BYTES + 4
    const driverId = hasId ? frame.readInt32BE(HEADER_BYTES) : -1
    const clientId = hasId ? this.#freeId(kind, driverId) : -1
    if (hasId) frame.writeInt32BE(clientId, HEADER_BYTES)
    this.#kept.push({ kind, args, clientId, driverId })
    this.#bytes += args.length
    this.translating ||= clientId !== driverId
  }

  /** Puts the id of an event into the client's terms, in place. False: the event answers nothing that the client knows. */
  translate(prog: number, proc: number, frame: Buffer): boolean {
    if (!carriesCallbackId(prog, proc) || frame.length < HEADER_BYTES + 4) return true
    const id = frame.readInt32BE(HEADER_BYTES)
    const kind = kindOfEvent(prog, proc)
    const known = this.#kept.find(kept => kept.driverId === id && kept.kind === kind)
    // What was not kept was registered after the last reconnection, and has the same id on both sides.
    if (known === undefined) return this.incomplete
    frame.writeInt32BE(known.clientId, HEADER_BYTES)
    return true
  }

  /** The connection to the daemon is gone, and with it what was asked of it. */
  disconnected(): void {
    this.#asked = undefined
  }

  /**
   * Makes all of them again at a new daemon: `register` resolves to the body of its reply. Resolves when all are answered, for
   * `renewed`; until that is called nothing has changed.
   */
  askAgain(register: (prog: number, proc: number, args: Buffer) => Promise<Buffer>): Promise<Outcomes> {
    return Promise.allSettled(this.#kept.map(({ kind, args }) => register(kind.prog, kind.register, args)))
  }

  /** One that was refused, because its object is gone perhaps, is dropped; `dropped` hears of it. */
  renewed(outcomes: Outcomes, dropped: (error: unknown) => void): void {
    const kept = this.#kept.splice(0)
    for (const [i, outcome] of outcomes.entries()) {
      const registration = kept[i]!
      if (outcome.status === 'rejected') {
        this.#bytes -= registration.args.length
        dropped(outcome.reason)
        continue
      }
      if (registration.kind.form === 'byId' && outcome.value.length >= 4) {
        registration.driverId = outcome.value.readInt32BE(0)
      }
      this.#kept.push(registration)
    }
    this.translating = this.#kept.some(({ clientId, driverId }) => clientId !== driverId)
  }

  clear(): void {
    this.#kept.length = 0
    this.#bytes = 0
    this.#asked = undefined
    this.translating = false
    this.incomplete = false
  }

  #forget(kind: RegistrationKind, args: Buffer): void {
    const at = kind.form === 'byId' ? this.#placeOf(kind, firstNumber(args)) : this.#firstOf(kind, args)
    if (at < 0) return
    this.#bytes -= this.#kept[at]!.args.length
    this.#kept.splice(at, 1)
  }

  /** -1 if the client has nothing by that id. */
  #placeOf(kind: RegistrationKind, id: number | undefined): number {
    return this.#kept.findIndex(kept => kept.kind === kind && kept.clientId === id)
  }

  /** The older forms give up the first registration for their event, in whatever form it was made. */
  #firstOf(kind: RegistrationKind, args: Buffer): number {
    const [of, event] = [withIds(kind), eventOf(kind, args)]
    return this.#kept.findIndex(kept => withIds(kept.kind) === of && eventOf(kept.kind, kept.args) === event)
  }

  /** The daemon's own id, unless the client knows something else by it. */
  #freeId(kind: RegistrationKind, wanted: number): number {
    const taken = new Set(this.#kept.filter(kept => kept.kind === kind).map(kept => kept.clientId))
    let id = wanted
    while (taken.has(id)) id++
    return id
  }
}
