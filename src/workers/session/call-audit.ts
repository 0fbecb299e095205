import { auditClassOf } from '../../protocol/audited-calls.js'
import { readObject, type Named } from '../../protocol/call-object.js'
import { incomingGuest } from '../../protocol/incoming-guest.js'
import { repliedCode, type RemoteError } from '../../protocol/errors.js'
import {
  frameLength, frameProcedure, frameProgram, frameSerial, frameStatus, frameType, HEADER_BYTES, MESSAGE, STATUS, type Header
} from '../../protocol/header.js'
import { procedureName } from '../../protocol/procedures.js'
import { Few } from '../base/few.js'
import { isRecorded } from '../policy/audited.js'
import type { CallEnd, ThreadAudit } from '../thread/audit.js'
import type { ServedRecord } from '../thread/client-record.js'
import { DRIVERS, driverOf, NO_DRIVER } from '../thread/metric-families.js'

/** A reply that begins with an object is a few names long. */
const MOST_REPLY_BYTES = 64 * 1024
const NOTHING: Named = []
/** So many refused calls of a client are told one by one. */
const REFUSED_A_WINDOW = 60
const WINDOW_MS = 60_000

/** A call that is under way, or refused. */
interface Begun {
  readonly prog: number
  readonly proc: number
  readonly serial: number
  /** There is a record of it when it has ended. If not it is here for its serial. */
  readonly recorded: boolean
  /** It changes something: if it goes on there must be a record. */
  readonly changes: boolean
  readonly named: Named
  /** Milliseconds, since the epoch and of the thread's clock. */
  readonly time: number
  readonly came: number
}

/** The calls of one client that go to its driver daemon, or are kept from it, as far as the audit records them: each once. */
export class CallAudit {
  readonly #audit: ThreadAudit
  readonly #record: ServedRecord
  readonly #stranger: (why: string) => void
  /** What the client has opened. */
  #open: { readonly driver: string; readonly readonly: boolean }
  /** It has called what it may not call before it has logged in: that is told once, however often it does. */
  #strange = false
  /** Made with the first that is refused. */
  #refusals: Few | undefined
  #lastRefused: { readonly call: Begun; readonly error: RemoteError } | undefined
  /**
   * Those that are not answered, of procedures of which there may be records. Searched from the front: replies come mostly in
   * order.
   */
  readonly #begun: Begun[] = []
  /** How many of them have promised a record. */
  #promised = 0

  /** `stranger`: told why a client has called in vain that has not logged in. */
  constructor(audit: ThreadAudit, record: ServedRecord, stranger: (why: string) => void) {
    this.#audit = audit
    this.#record = record
    this.#stranger = stranger
    this.#open = { driver: DRIVERS[NO_DRIVER], readonly: record.listener.readonly }
  }

  /** Whether calls that change something may go on, see ThreadAudit. */
  get takes(): boolean {
    return this.#audit.takes(this.#promised)
  }

  /** Whether a call like this one is not answered: nobody could say whose a reply is that comes then. */
  isUnderWay(prog: number, proc: number, serial: number): boolean {
    return this.#find(prog, proc, serial) >= 0
  }

  /** CONNECT_OPEN has succeeded, or failed with that error. `uri`: what the client has, or what it wanted. */
  opened({ prog, proc, serial }: Header, uri: string, readonly: boolean, error?: RemoteError): void {
    const about = { driver: DRIVERS[driverOf(uri)]!, readonly }
    if (error === undefined) this.#open = about
    const named: Named = [{ type: 'connection', name: uri, uid: undefined }]
    const end = error === undefined ? 'ok' : 'error'
    const result = { end, code: error?.code ?? 0, detail: error?.message } as const
    this.#audit.write(this.#record, { prog, proc, serial, named, ...result, time: Date.now(), micros: 0, ...about }, false)
  }

  /**
   * A call whose header stands at `bytes[at]` goes to the daemon, now or later. `serial`: the client's, which may stand there
   * no more. `whole`: its arguments stand there too.
   */
  begun(bytes: Buffer, at: number, serial: number, whole: boolean): void {
    const call = this.#look(bytes, at, serial, whole)
    this.#begun.push(call)
    if (!call.changes) return
    this.#promised++
    this.#audit.promise()
  }

  /** It is refused. */
  refused(bytes: Buffer, at: number, whole: boolean, error: RemoteError): void {
    const call = this.#look(bytes, at, frameSerial(bytes, at), whole)
    if (!call.recorded) return
    if (this.#record.state === 'authenticating') this.#strangeCall(call, error)
    else this.#refusedCall(call, error)
  }

  #strangeCall({ prog, proc }: Begun, error: RemoteError): void {
    if (this.#strange) return
    this.#strange = true
    this.#stranger(`${procedureName(prog, proc)}: ${error.message}`)
  }

  /** A client that may do little could fill the disk with it. */
  #refusedCall(call: Begun, error: RemoteError): void {
    this.#refusals ??= new Few(REFUSED_A_WINDOW, WINDOW_MS)
    if (this.#refusals.left(call.came) === 0) this.#tellRest()
    if (this.#refusals.lets(call.came)) this.#write(call, 'refused', error.code, error.message, call.named, false)
    else this.#lastRefused = { call, error }
  }

  #tellRest(): void {
    const count = this.#refusals?.takeRest() ?? 0
    if (count === 0) return
    const { call, error } = this.#lastRefused!
    this.#write(call, 'refused', error.code, `${error.message} (the last of ${count}, told together)`, call.named, false, count)
  }

  /** Whether the reply whose header stands there tells the object of its call, and is to be there whole. */
  isToldBy(bytes: Buffer, at: number): boolean {
    if (frameStatus(bytes, at) !== STATUS.ok || frameLength(bytes, at) > MOST_REPLY_BYTES) return false
    return auditClassOf(frameProgram(bytes, at), frameProcedure(bytes, at)).answered !== undefined
  }

  /** The reply has come. `whole`: its body stands there too. */
  answered(bytes: Buffer, at: number, whole: boolean): void {
    const call = this.#take(frameProgram(bytes, at), frameProcedure(bytes, at), frameSerial(bytes, at))
    if (call === undefined) return
    const code = repliedCode(bytes, at)
    const told = whole && this.isToldBy(bytes, at) ? this.#namedBy(bytes, at) : NOTHING
    this.#ended(call, code === 0 ? 'ok' : 'error', code, undefined, told.length > 0 ? told : call.named)
  }

  /** The daemon was not given it, or will not answer it. */
  failed({ prog, proc, serial }: Header, end: 'refused' | 'none', error: RemoteError): void {
    const call = this.#take(prog, proc, serial)
    if (call !== undefined) this.#ended(call, end, error.code, error.message, call.named)
  }

  /** The client has gone. */
  end(): void {
    this.#tellRest()
    for (const call of this.#begun.splice(0)) this.#ended(call, 'none', 0, 'the client went away first', call.named)
  }

  #look(bytes: Buffer, at: number, serial: number, whole: boolean): Begun {
    const prog = frameProgram(bytes, at)
    const proc = frameProcedure(bytes, at)
    const from = at + HEADER_BYTES + (frameType(bytes, at) === MESSAGE.callWithFds ? 4 : 0)
    const end = at + frameLength(bytes, at)
    const args = whole && from <= end ? bytes.subarray(from, end) : undefined
    const recorded = isRecorded(prog, proc, args, this.#audit.reads)
    const { changes } = auditClassOf(prog, proc)
    const named = args === undefined || !recorded ? NOTHING : askedOf(prog, proc, args)
    return { prog, proc, serial, recorded, changes, named, time: Date.now(), came: performance.now() }
  }

  #namedBy(bytes: Buffer, at: number): Named {
    const { answered } = auditClassOf(frameProgram(bytes, at), frameProcedure(bytes, at))
    const from = at + HEADER_BYTES + (frameType(bytes, at) === MESSAGE.replyWithFds ? 4 : 0)
    return readObject(answered!, bytes, from, at + frameLength(bytes, at))
  }

  #find(prog: number, proc: number, serial: number): number {
    return this.#begun.findIndex(call => call.serial === serial && call.proc === proc && call.prog === prog)
  }

  #take(prog: number, proc: number, serial: number): Begun | undefined {
    const index = this.#find(prog, proc, serial)
    return index < 0 ? undefined : this.#begun.splice(index, 1)[0]
  }

  /** It is under way no more. */
  #ended(call: Begun, end: CallEnd, code: number, detail: string | undefined, named: Named): void {
    if (call.changes) this.#promised--
    if (call.recorded) this.#write(call, end, code, detail, named, call.changes)
  }

  #write(
    call: Begun, end: CallEnd, code: number, detail: string | undefined, named: Named, promised: boolean, count?: number
  ): void {
    const { prog, proc, serial, time, came } = call
    const micros = 1000 * (performance.now() - came)
    this.#audit.write(this.#record, { prog, proc, serial, named, end, code, detail, time, micros, count, ...this.#open }, promised)
  }
}

function askedOf(prog: number, proc: number, args: Buffer): Named {
  const { asked } = auditClassOf(prog, proc)
  return asked === undefined ? incomingGuest(prog, proc, args) : readObject(asked, args)
}
