import { KIND, KIND_REFUSED, type CallKind } from '../../protocol/call-kinds.js'
import {
  authenticationRequired,
  errorReply,
  rpcError,
  unknownProcedure,
  type RemoteError
} from '../../protocol/errors.js'
import type { Header } from '../../protocol/header.js'
import type { Identity } from '../../protocol/identity.js'
import { AUTH, type AuthType } from '../../protocol/messages/auth.js'
import { CLOSE_REASON, connectionClosedFrame } from '../../protocol/messages/connect.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import { lookup, procedureName, REMOTE } from '../../protocol/procedures.js'
import { readOnlyPrevents } from '../../protocol/public-errors.js'
import type { Actor } from '../actor/actor.js'
import type { Applicant, Authentication } from '../auth/authentication.js'
import { makeAuthentication } from '../auth/make-authentication.js'
import { Timer, type Timed } from '../base/clock.js'
import { EIO, EMFILE, errorText } from '../os/libc.js'
import { describeIdentity, subjectOf } from '../policy/subject.js'
import { LogLimit } from '../base/log-limit.js'
import { SOURCE, type LogContext, type LogLevel, type LogSource } from '../base/log.js'
import type { Verdicts } from '../policy/verdicts.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { LossReason } from '../transport/transport.js'
import { CallFlow } from './call-flow.js'
import { Reconnection } from './reconnection.js'
import { ClientSide, PAUSE } from './client-side.js'
import type { DriverSide } from './driver-side.js'
import type { Newcomer } from '../arrival/newcomer.js'
import type { Arrived } from '../arrival/arriving-client.js'
import { accessDenied, driverClosed, notOpen, secondaryNotOpen } from '../../protocol/broker-errors.js'
import { LEGAL, type SessionState } from './session-state.js'
import { OpenStreams } from './streams.js'

/** A client that goes on calling what it may not call is told so each time, and the log is not. */
const DENIALS_LOGGED_A_MINUTE = 10
/** How long a client that asked to close may take to read what is queued for it. */
const LINGER_MS = 10_000

/** One client, from the hand-over of its socket to its end: it ties the client's side to the driver's. */
export class ClientSession implements Applicant, Timed {
  readonly flow = new CallFlow(this)
  readonly streams = new OpenStreams()
  readonly client: ClientSide
  readonly authentication: Authentication
  readonly reconnection = new Reconnection(this)
  readonly record: ClientRecord
  readonly fd: number
  /** The identity cannot be established, and every call is answered with this. */
  readonly failure: RemoteError | undefined
  driver: DriverSide | undefined
  /** Until the client is in: until it has logged in, or without authentication until it has sent anything like a call. */
  newcomer: Newcomer | undefined
  /** What CONNECT_GET_URI says. */
  uri = ''
  /** The client wants CONNECT_EVENT_CONNECTION_CLOSED. */
  closeCallback = false
  #verdicts: Verdicts | undefined
  #denials: LogLimit | undefined
  /** The client sends nothing more, and gets this when all that it sent before is done; undefined while it goes on. */
  #finish: { reply: Buffer | undefined } | undefined
  /** It has logged in, or opened a connection where nobody has to log in. */
  #known = false
  readonly #about: LogContext
  readonly #since = Date.now()
  #state: SessionState
  /** Deadline for logging in, and later for reading the last replies. */
  readonly #timer = new Timer(this)

  constructor(
    readonly actor: Actor,
    { record, fd, newcomer, failure, transport }: Arrived
  ) {
    this.record = record
    this.fd = fd
    this.newcomer = newcomer
    this.failure = failure
    this.#about = { client: { id: record.id, from: record.peer ?? processOf(record.identity) } }
    this.#state = record.state === 'authenticating' ? 'authenticating' : 'authenticated'
    this.client = new ClientSide(this, transport)
    this.authentication = makeAuthentication(this, actor, this.client.transport)
    if (this.#state === 'authenticating') this.#setDeadline(actor.settings.firstFrameTimeoutMs)
  }

  get state(): SessionState {
    return this.#state
  }

  /** A failure of its timer is its own. */
  get session(): this {
    return this
  }

  /** CONNECT_OPEN has succeeded, whatever has become of the driver daemon since. */
  get hasOpened(): boolean {
    return this.#state === 'open' || this.#state === 'lost' || this.#state === 'reopening'
  }

  /** Moves on, or returns false where the table does not allow it. */
  become(state: SessionState): boolean {
    if (!LEGAL[this.#state].includes(state)) return false
    this.#state = state
    return true
  }

  log(level: LogLevel, message: string, source: LogSource = SOURCE.client): void {
    const { log, strangers } = this.actor
    const write = this.#known ? log : strangers.write
    write(level, source, message, this.#about)
  }

  /** For what this client can cause again and again: of such lines a few a minute are written for all clients. */
  logTrouble(level: LogLevel, message: string): void {
    this.actor.strangers.write(level, SOURCE.driver, message, this.#about)
  }

  // Authentication

  /** Bytes have come, and the client is not in. */
  newcomerSends(bytes: number): void {
    const first = this.newcomer!.completesHeader(bytes)
    if (first && this.#state !== 'authenticating') return this.#isIn()
    this.newcomer!.hear()
    if (!first) return
    const { clock, settings } = this.actor
    const spent = clock.now - this.newcomer!.takenAt
    if (settings.loginTimeoutMs > 0) this.#setDeadline(Math.max(1, settings.loginTimeoutMs - spent))
  }

  /** Whether the login has taken the call: it answers it, sooner or later. */
  takesPart(call: Header, body: Buffer): boolean {
    if (this.#state !== 'authenticating') return false
    this.newcomer?.owe()
    const taken = this.authentication.take(call, body)
    if (!taken) this.newcomer?.answer()
    return taken
  }

  /** What AUTH_LIST says. Asking may be enough to be let in. */
  authenticationType(): AuthType {
    return this.#state === 'authenticating' ? this.authentication.list() : AUTH.none
  }

  reply(call: Header, body: Buffer): void {
    if (this.#state !== 'authenticating') return
    this.newcomer?.answer()
    this.client.write(replyFrame(call, body))
  }

  refuse(call: Header, error: RemoteError): void {
    if (this.#state !== 'authenticating') return
    this.newcomer?.answer()
    this.client.write(errorReply(call, error))
  }

  /** Authentication has succeeded; what it tells of the client joins what the socket told. */
  authenticated(identity: Identity): void {
    if (!this.become('authenticated')) return
    this.client.loggedIn()
    this.record.identity = { ...this.record.identity, ...identity }
    this.record.state = 'serving'
    this.#nowKnown()
    this.actor.clock.cancel(this.#timer)
    this.#isIn()
    this.actor.authenticated(this)
  }

  #isIn(): void {
    this.newcomer?.isIn()
    this.newcomer = undefined
  }

  /** It is no stranger any more: from now on there is a line for each thing that happens to it. */
  #nowKnown(): void {
    if (this.#known) return
    this.#known = true
    if (!this.actor.hears('info')) return
    const { listener, identity } = this.record
    const { transport, readonly, auth } = listener
    const by = `${transport}${readonly ? ', read-only' : ''}${auth === 'none' ? '' : `, ${auth}`}`
    this.log('info', `logged in: ${describeIdentity(identity)} (${by})`)
  }

  restartDeadline(): void {
    if (this.#state === 'authenticating') this.#setDeadline(this.actor.settings.loginTimeoutMs)
  }

  /** 0: none. */
  #setDeadline(ms: number): void {
    if (ms > 0) this.actor.clock.set(this.#timer, ms)
  }

  // From the client

  /** Why a known program's call cannot be served in the present state, if so. */
  refusal(prog: number, proc: number, kind: CallKind): RemoteError | undefined {
    const refused = (kind & KIND_REFUSED) !== 0
    if (this.#state === 'open') return refused ? this.#refused(prog, proc, kind) : undefined
    if ((kind & KIND.unknown) !== 0) return unknownProcedure(proc)
    if (this.failure !== undefined) return this.failure
    if ((kind & KIND.local) !== 0) {
      return this.#state === 'authenticating' && !isAuthentication(proc) ? authenticationRequired() : undefined
    }
    if (this.#state === 'authenticating') return authenticationRequired()
    if (this.hasOpened && refused) return this.#refused(prog, proc, kind)
    if (this.hasOpened) return this.reachable() ? undefined : driverClosed()
    const owner = lookup(prog, proc)?.owner
    return owner === 'hypervisor' || owner === 'any' ? notOpen() : secondaryNotOpen()
  }

  #refused(prog: number, proc: number, kind: CallKind): RemoteError {
    if ((kind & KIND.readOnly) !== 0) return readOnlyPrevents(lookup(prog, proc)!)
    this.#denials ??= new LogLimit(this.actor.clock, this.actor.log, DENIALS_LOGGED_A_MINUTE)
    const line = `policy: ${procedureName(prog, proc)} refused for ${describeIdentity(this.record.identity)}`
    this.#denials.write('warning', SOURCE.access, line, this.#about, 'policy')
    return accessDenied()
  }

  /** What a collected call is answered that goes no further because of its arguments, if so. */
  objection(prog: number, proc: number, body: Buffer): RemoteError | Buffer | undefined {
    const finding = this.#verdicts?.inspect(prog, proc, body)
    return typeof finding === 'number' ? this.#refused(prog, proc, finding) : finding
  }

  /** Whether a call can go to the driver daemon, now or when the client has been reconnected. */
  reachable(): boolean {
    return this.#state === 'open' || this.#state === 'reopening' || this.reconnection.begin()
  }

  /** The client takes no more for now, so its driver daemon is not read. */
  clientFull(): void {
    this.client.full()
    this.driver?.pause()
  }

  clientTakesMore(): void {
    this.driver?.resume()
  }

  driverTakesMore(): void {
    this.client.resume(PAUSE.driverFull)
  }

  /** The client has closed its direction of the connection. */
  inputEnded(): void {
    const { client } = this
    if (this.#state === 'closing') return this.close('closed by the client', 'debug')
    if (this.#finish !== undefined) return client.probe()
    // Nobody waits for an answer, or for the rest of a frame that never comes.
    const idle = !this.#outstanding && client.transport.pending === 0
    if (this.#state === 'authenticating' || client.reader.unfinished || idle) return this.clientLost({ errno: 0 })
    this.finish(undefined)
    client.probe()
  }

  /** The client wants no more than what it has asked for already; then it is told `reply`, and the connection closed. */
  finish(reply: Buffer | undefined): void {
    this.#finish = { reply }
    this.client.reader.stop()
    this.actor.clock.set(this.#timer, this.actor.settings.closeTimeoutMs)
    this.finishIfIdle()
  }

  /** To be asked whenever something has come to its end. */
  finishIfIdle(): void {
    if (this.#finish !== undefined && !this.#outstanding) this.closeInOrder(this.#finish.reply)
  }

  /**
   * Whether something is to be done before the client may leave. A stream that the client has not finished itself ends
   * with CONNECT_CLOSE; but who only sends nothing more may still be reading one.
   */
  get #outstanding(): boolean {
    const { flow, streams } = this
    if (this.#state === 'opening' || this.#state === 'reopening') return true
    if (flow.calls.size > 0 || flow.waiting > 0) return true
    return this.#finish?.reply === undefined ? streams.size > 0 : streams.someFinishing
  }

  clientLost({ errno, fault }: LossReason): void {
    if (this.#state === 'closing') return this.close('closed by the client', 'debug')
    if (fault !== undefined) return this.close(`TLS failed: ${fault}`, 'warning')
    if (errno === EMFILE) return this.close('too many file descriptors', 'warning')
    const why = errno === 0 ? `End of file while reading data: ${errorText(EIO)}` : errorText(errno)
    this.close(why, 'debug')
  }

  // The driver

  /**
   * CONNECT_OPEN has succeeded. What the client may do goes by what it has proved of itself: a CONNECT_SET_IDENTITY of
   * its own changes nothing.
   */
  opened(driver: DriverSide, uri: string, readonly: boolean): void {
    this.uri = uri
    this.#nowKnown()
    this.#verdicts = this.actor.policy.verdictsFor(subjectOf(this.record), readonly)
    this.client.kinds = this.#verdicts.kinds
    driver.opened = true
    driver.writer.feeder = this.client.reader
    this.client.writer.feeder = driver.reader
    this.become('open')
  }

  /** The daemon broke the protocol: nothing more from it can be trusted. */
  driverFailed(driver: DriverSide, what: string): void {
    this.log('error', `driver daemon broke the protocol: ${what}`, SOURCE.driver)
    this.driverLost(driver, rpcError(`driver daemon broke the protocol: ${what}`))
  }

  /**
   * The daemon is gone. The client stays: its calls in flight fail at once, its streams end with an error, and it gets
   * its event if it asked for it.
   */
  driverLost(driver: DriverSide, error: RemoteError, reason: number = CLOSE_REASON.endOfFile): void {
    const { client } = this
    const { inPassedFrame } = driver.reader
    driver.close(error)
    if (this.driver !== driver) return
    this.driver = undefined
    if (this.#state === 'closing') return client.writer.dropFeeder()
    // While it is being opened, whoever opens it sees its own calls fail.
    if (this.#state !== 'open') return
    this.log('info', `driver daemon lost: ${error.message}`, SOURCE.driver)
    // The client has the first part of it, and there is no way to take that back.
    if (inPassedFrame) return this.close('driver daemon died within a long reply', 'error')
    this.become('lost')
    client.writer.dropFeeder()
    this.flow.fail(error)
    for (const frame of this.streams.breakAll(error)) client.write(frame)
    if (this.closeCallback) client.write(connectionClosedFrame(reason))
    this.reconnection.lost(this.closeCallback)
    this.closeCallback = false
    client.resume(PAUSE.driverFull)
    this.finishIfIdle()
  }

  // The end

  /** Closes when `reply`, if there is one, is out. Calls still running are abandoned. */
  closeInOrder(reply: Buffer | undefined): void {
    const { client, driver } = this
    if (!this.become('closing')) return
    client.reader.stop()
    if (reply !== undefined) client.writer.write(reply)
    client.writer.end()
    if (driver !== undefined && !driver.reader.inPassedFrame) this.#dropDriver()
    if (this.#state === 'closing') this.actor.clock.set(this.#timer, LINGER_MS)
  }

  /** Closes at once; what is queued for the client is lost. */
  close(why: string, level: LogLevel): void {
    if (!this.become('closed')) return
    this.#denials?.close()
    this.#logEnd(why, level)
    this.actor.clock.cancel(this.#timer)
    this.#dropDriver()
    this.flow.drop()
    this.reconnection.stop()
    this.client.stop()
    // Behind the transport, which may be using what the login has left to it.
    this.authentication.end()
    this.actor.sessionEnded(this, why)
  }

  #logEnd(why: string, level: LogLevel): void {
    const said = this.#known && level === 'debug' ? 'info' : level
    if (!this.actor.hears(said)) return
    if (!this.#known) return this.log(said, `closed: ${why}`)
    const seconds = ((Date.now() - this.#since) / 1000).toFixed(1)
    const line = `closed: ${why}; after ${seconds} s and ${this.flow.calls.total} calls`
    this.log(said, line)
  }

  timeUp(): void {
    if (this.#state === 'authenticating') this.close('not authenticated in time', 'warning')
    else if (this.#finish !== undefined && this.#state !== 'closing') this.closeInOrder(this.#finish.reply)
    else this.close('client did not read its last replies', 'info')
  }

  /**
   * The daemon itself ends streams and registrations of a client whose connection closes, and calls that are still
   * running: for those it must not wait until they are done.
   */
  #dropDriver(): void {
    const { driver, flow, streams } = this
    this.driver = undefined
    if (driver === undefined) return
    if (flow.calls.size > 0 || streams.size > 0 || !driver.opened || !this.actor.leave(driver)) driver.close()
  }
}

const processOf = ({ userId, processId }: Identity): string | undefined =>
  userId === undefined ? undefined : `uid ${userId}, pid ${processId ?? -1}`

function isAuthentication(proc: number): boolean {
  return proc >= REMOTE.authList && proc <= REMOTE.authPolkit
}
