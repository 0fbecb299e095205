import { auditClassOf } from '../../protocol/audited-calls.js'
import { accessDenied, driverClosed, notOpen, secondaryNotOpen, serialInUse, unrecorded } from '../../protocol/broker-errors.js'
import { KIND, KIND_REFUSED, type CallKind } from '../../protocol/call-kinds.js'
import {
  authenticationRequired,
  unexpectedStatus,
  unknownProcedure,
  unknownProgram,
  type RemoteError
} from '../../protocol/errors.js'
import {
  frameProcedure, frameProgram, frameSerial, frameStatus, frameVersion, PROGRAM_VERSION, STATUS
} from '../../protocol/header.js'
import { lookup, procedureName, REMOTE } from '../../protocol/procedures.js'
import { readOnlyPrevents } from '../../protocol/public-errors.js'
import type { Verdicts } from '../policy/verdicts.js'
import type { CallAudit } from './call-audit.js'
import type { FrameRefusals } from './ports.js'

/** How far a client has come, as far as it matters for what it may call. Nothing here acts. */
export interface Progress {
  /** It has to log in first. */
  readonly authenticating: boolean
  /** CONNECT_OPEN has succeeded, whatever has become of the driver daemon since. */
  readonly hasOpened: boolean
  /** The driver daemon is there. */
  readonly isOpen: boolean
  /** It is not, but calls can wait until the client has been reconnected. */
  readonly reachable: boolean
  /** What any call is answered before the open, if anything. */
  readonly failure: RemoteError | undefined
}

export interface RefusalLog {
  /** The policy has refused this procedure. */
  denied(procedure: string): void
}

/** What becomes of records of the client's calls. */
type Recorder = Pick<CallAudit, 'takes' | 'isUnderWay'>

/** What one client may not call, and what it is told instead. */
export class Refusals implements FrameRefusals {
  readonly #progress: Progress
  readonly #log: RefusalLog
  readonly #audit: Recorder | undefined
  #verdicts: Verdicts | undefined

  constructor(progress: Progress, log: RefusalLog, audit: Recorder | undefined) {
    this.#progress = progress
    this.#log = log
    this.#audit = audit
  }

  /** What is kept from the client from now on. */
  use(verdicts: Verdicts): void {
    this.#verdicts = verdicts
  }

  /** The checks come in the order of libvirt's dispatcher. */
  refusal(bytes: Buffer, at: number, kind: CallKind | undefined): RemoteError | undefined {
    const prog = frameProgram(bytes, at)
    const vers = frameVersion(bytes, at)
    if (kind === undefined || vers !== PROGRAM_VERSION) return unknownProgram(prog, vers)
    const status = frameStatus(bytes, at)
    if (status !== STATUS.ok) return unexpectedStatus(status)
    return this.#known(prog, frameProcedure(bytes, at), frameSerial(bytes, at), kind)
  }

  /** Why a known program's call cannot be served as things stand, if so. */
  #known(prog: number, proc: number, serial: number, kind: CallKind): RemoteError | undefined {
    const { authenticating, hasOpened, isOpen, reachable, failure } = this.#progress
    const refused = (kind & KIND_REFUSED) !== 0
    if (isOpen) return refused ? this.#denied(prog, proc, kind) : this.#unrecorded(prog, proc, serial, kind)
    if ((kind & KIND.unknown) !== 0) return unknownProcedure(proc)
    if (failure !== undefined) return failure
    if ((kind & KIND.local) !== 0) return authenticating && !isAuthentication(proc) ? authenticationRequired() : undefined
    if (authenticating) return authenticationRequired()
    if (hasOpened && refused) return this.#denied(prog, proc, kind)
    if (hasOpened) return reachable ? this.#unrecorded(prog, proc, serial, kind) : driverClosed()
    const owner = lookup(prog, proc)?.owner
    return owner === 'hypervisor' || owner === 'any' ? notOpen() : secondaryNotOpen()
  }

  /** What its caller could not be held to is not done: its record would be wrong, or there would be none. */
  #unrecorded(prog: number, proc: number, serial: number, kind: CallKind): RemoteError | undefined {
    if ((kind & KIND.audited) === 0 || this.#audit === undefined) return undefined
    if (this.#audit.isUnderWay(prog, proc, serial)) return serialInUse()
    return this.#audit.takes || !auditClassOf(prog, proc).changes ? undefined : unrecorded()
  }

  /** What a call that has come whole is answered if it goes no further, because of its arguments or of what was lost meanwhile. */
  objection(prog: number, proc: number, body: Buffer): RemoteError | Buffer | undefined {
    const finding = this.#verdicts?.inspect(prog, proc, body)
    if (finding !== undefined) return typeof finding === 'number' ? this.#denied(prog, proc, finding) : finding
    return this.#progress.isOpen || this.#progress.reachable ? undefined : driverClosed()
  }

  #denied(prog: number, proc: number, kind: CallKind): RemoteError {
    if ((kind & KIND.readOnly) !== 0) return readOnlyPrevents(lookup(prog, proc)!)
    this.#log.denied(procedureName(prog, proc))
    return accessDenied()
  }
}

function isAuthentication(proc: number): boolean {
  return proc >= REMOTE.authList && proc <= REMOTE.authPolkit
}
