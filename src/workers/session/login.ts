import { errorReply, type RemoteError } from '../../protocol/errors.js'
import type { Header } from '../../protocol/header.js'
import type { Identity } from '../../protocol/identity.js'
import { AUTH, type AuthType } from '../../protocol/messages/auth.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import type { Newcomer } from '../arrival/newcomer.js'
import type { Applicant, Authentication } from '../auth/authentication.js'
import type { LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { ClientRecord } from '../thread/client-record.js'
import { AUTH_METHODS, FAMILIES, LOGIN_OUTCOMES, REFUSALS } from '../thread/metric-families.js'
import type { ThreadServices } from '../thread/services.js'
import type { LocalLogin } from './ports.js'

const OK = LOGIN_OUTCOMES.indexOf('ok')
const REFUSED = LOGIN_OUTCOMES.indexOf('refused')

/** What a login asks of its session. */
export interface LoginOwner {
  /** The client has to log in before anything else. */
  readonly authenticating: boolean
  readonly record: ClientRecord
  /** It has logged in, with what the method found out about it. Only while it is authenticating. */
  letIn(identity: Identity): void
  /** After so many milliseconds it is closed, if it is not in by then. */
  wait(ms: number): void
  write(frame: Buffer): void
  log(kind: LogKind, message: string, source: LogSource): void
  close(why: string, kind: LogKind): void
}

/**
 * A client until it is in: until it has logged in, or without authentication until it has sent anything like a call. It
 * answers for a method of authentication, and tells the supervisor whether it is the client's turn or the broker's.
 */
export class Login implements Applicant, LocalLogin {
  readonly record: ClientRecord
  readonly #owner: LoginOwner
  readonly #thread: Pick<ThreadServices, 'clock' | 'settings' | 'counters'>
  readonly #authentication: Authentication
  #newcomer: Newcomer | undefined
  /** When its first call of a login came, of performance.now; 0 if there was none. */
  #beganAt = 0

  constructor(
    owner: LoginOwner,
    thread: Pick<ThreadServices, 'clock' | 'settings' | 'counters'>,
    newcomer: Newcomer,
    method: (applicant: Applicant) => Authentication
  ) {
    this.record = owner.record
    this.#owner = owner
    this.#thread = thread
    this.#newcomer = newcomer
    this.#authentication = method(this)
    if (owner.authenticating) this.#wait(thread.settings.firstFrameTimeoutMs)
  }

  /** 0: the client may take its time. */
  #wait(ms: number): void {
    if (ms > 0) this.#owner.wait(ms)
  }

  get isNew(): boolean {
    return this.#newcomer !== undefined
  }

  /** So many bytes have come. Only while it is new. */
  arrived(bytes: number): void {
    const newcomer = this.#newcomer!
    const first = newcomer.completesHeader(bytes)
    if (first && !this.#owner.authenticating) return this.isIn()
    newcomer.hear()
    if (!first) return
    const { clock, settings } = this.#thread
    const spent = clock.now - newcomer.takenAt
    if (settings.loginTimeoutMs > 0) this.#owner.wait(Math.max(1, settings.loginTimeoutMs - spent))
  }

  isIn(): void {
    this.#newcomer?.isIn()
    this.#newcomer = undefined
  }

  /** The client has gone, or its session has. */
  end(): void {
    this.#authentication.end()
  }

  // For the calls of authentication

  takesPart(call: Header, body: Buffer): boolean {
    if (!this.#owner.authenticating) return false
    if (this.#beganAt === 0) this.#beganAt = performance.now()
    this.#newcomer?.owe()
    const taken = this.#authentication.take(call, body)
    if (!taken) this.#newcomer?.answer()
    return taken
  }

  authenticationType(): AuthType {
    return this.#owner.authenticating ? this.#authentication.list() : AUTH.none
  }

  // For the method

  reply(call: Header, body: Buffer): void {
    this.#answer(replyFrame(call, body))
  }

  refuse(call: Header, error: RemoteError): void {
    if (this.#owner.authenticating) this.#count(REFUSED)
    this.#answer(errorReply(call, error))
  }

  #answer(frame: Buffer): void {
    if (!this.#owner.authenticating) return
    this.#newcomer?.answer()
    this.#owner.write(frame)
  }

  authenticated(identity: Identity): void {
    if (!this.#owner.authenticating) return
    this.#count(OK)
    this.#owner.letIn(identity)
    this.isIn()
  }

  #count(outcome: number): void {
    const { auth } = this.record.listener
    if (auth === 'none') return
    const { counters } = this.#thread
    const method = AUTH_METHODS.indexOf(auth)
    counters.add(FAMILIES.logins, 1, method, outcome)
    if (outcome === OK) counters.observe(FAMILIES.loginTime, Math.round(1000 * (performance.now() - this.#beganAt)), method)
    else counters.add(FAMILIES.refusals, 1, REFUSALS.indexOf('auth'))
  }

  restartDeadline(): void {
    if (this.#owner.authenticating) this.#wait(this.#thread.settings.loginTimeoutMs)
  }

  log(kind: LogKind, message: string, source: LogSource): void {
    this.#owner.log(kind, message, source)
  }

  close(why: string, kind: LogKind): void {
    this.#owner.close(why, kind)
  }
}
