import { driverClosed } from '../../protocol/broker-errors.js'
import { KIND, kindWithArguments, type CallKind } from '../../protocol/call-kinds.js'
import { internalError, RemoteError } from '../../protocol/errors.js'
import { HEADER_BYTES, MESSAGE, readHeader, STATUS, type Header } from '../../protocol/header.js'
import type { Identity } from '../../protocol/identity.js'
import { CLOSE_REASON, OPEN_READONLY } from '../../protocol/messages/connect.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import type { SessionAccess, SessionOwner } from './session-owner.js'
import type { ThreadServices } from '../thread/services.js'
import type { Arrived } from '../arrival/arriving-client.js'
import { makeAuthentication } from '../auth/make-authentication.js'
import { Timer, type Timed } from '../base/clock.js'
import { SOURCE, type LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { DriverPort } from '../driver/driver-port.js'
import type { Way } from '../driver/driver-sockets.js'
import type { OpenedDriver } from '../driver/drivers.js'
import { isShareable } from '../driver/shareable.js'
import { EIO, EMFILE, errorText } from '../os/libc.js'
import { tellReconnect } from '../observe/driver-channels.js'
import { subjectOf } from '../policy/subject.js'
import { openedName, type ClientActivity, type ClientState, type ServedRecord } from '../thread/client-record.js'
import type { ConnectionUse } from '../thread/driver-report.js'
import { driverOf } from '../thread/metric-families.js'
import type { SessionObserver } from '../thread/session-observer.js'
import type { LossReason } from '../transport/transport.js'
import { activityOf } from './activity.js'
import { CallAudit } from './call-audit.js'
import { CallFlow } from './call-flow.js'
import { ClientLog } from './client-log.js'
import { ClientSide } from './client-side.js'
import { DriverSide, type DriverSideOwner } from './driver-side.js'
import { ownUse } from './driver-use.js'
import { Leave, type LeaveOwner } from './leave.js'
import { answerLocally } from './local-calls.js'
import { Login, type LoginOwner } from './login.js'
import { PAUSE } from './ports.js'
import type { ClientEvents, ClientStanding, ClientUser, FlowOwner, LocalCaller, OpenConnection } from './ports.js'
import { Reconnection, type ReconnectionOwner } from './reconnection.js'
import { Refusals, type Progress } from './refusals.js'
import { LEGAL, type SessionState } from './session-state.js'

/** How long a client that asked to close may take to read what is queued for it. */
const LINGER_MS = 10_000

/** One client, from the hand-over of its socket to its end: it ties the client's side to the driver's. */
export class ClientSession implements
  ClientUser, ClientStanding, ClientEvents, DriverSideOwner, FlowOwner, LeaveOwner, LocalCaller, LoginOwner, OpenConnection,
  Progress, ReconnectionOwner, Timed {
  readonly client: ClientSide
  readonly flow: CallFlow
  readonly refusals: Refusals
  readonly audit: CallAudit | undefined
  readonly login: Login
  readonly record: ServedRecord
  /** The identity cannot be established, and every call is answered with this. */
  readonly failure: RemoteError | undefined
  readonly #driver: DriverSide
  readonly #reconnection: Reconnection
  /** CONNECT_OPEN, while it is not answered. */
  #opens: Header | undefined
  /** What CONNECT_GET_URI says. */
  uri = ''
  /** Connections that lead wherever that way may lead can be shared. */
  #shareable = false
  /** Made when the client, or the broker, thinks of the end. */
  #leave: Leave | undefined
  readonly #log: ClientLog
  #state: SessionState
  /** Deadline for logging in, and later for reading the last replies. */
  readonly #timer = new Timer(this)

  constructor(
    readonly thread: ThreadServices,
    readonly access: SessionAccess,
    readonly owner: SessionOwner,
    { record, fd, newcomer, failure, transport }: Arrived
  ) {
    this.record = record
    this.failure = failure
    this.#log = new ClientLog(record, thread)
    this.audit = thread.audit && new CallAudit(thread.audit, record, why => owner.loginRefused(record, why))
    this.refusals = new Refusals(this, this.#log, this.audit)
    this.#state = record.state === 'authenticating' ? 'authenticating' : 'authenticated'
    this.client = new ClientSide(thread, this, transport)
    this.flow = new CallFlow(this.client, this, thread)
    this.#driver = new DriverSide(this, this.client, this.flow)
    this.#reconnection = new Reconnection(this, thread, access.drivers.comebacks, this.flow.registrations)
    this.login = new Login(this, thread, newcomer, applicant =>
      makeAuthentication(applicant, fd, { thread, polkit: access.polkit, sasl: access.sasl }, this.client.transport)
    )
  }

  get state(): SessionState {
    return this.#state
  }

  // What it is to its parts

  get session(): this {
    return this
  }

  get standing(): ClientStanding {
    return this
  }

  get events(): ClientEvents {
    return this
  }

  get calls(): CallFlow {
    return this.flow
  }

  get connection(): OpenConnection {
    return this
  }

  // How far it has come

  get authenticating(): boolean {
    return this.#state === 'authenticating'
  }

  get isNew(): boolean {
    return this.login.isNew
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isLost(): boolean {
    return this.#state === 'lost'
  }

  get reachable(): boolean {
    return this.#state === 'reopening' || (this.#state === 'lost' && this.#reconnection.possible)
  }

  get carriesDescriptors(): boolean {
    return this.client.carriesDescriptors
  }

  /** CONNECT_OPEN has succeeded, whatever has become of the driver daemon since. */
  get hasOpened(): boolean {
    return this.#state === 'open' || this.#state === 'lost' || this.#state === 'reopening'
  }

  get activity(): ClientActivity {
    return activityOf(this.client, this.flow, this.uri, this.#log.driver)
  }

  /** Tells this one of its calls, instead of the thread's own observer; undefined: that one again. */
  observe(observer: SessionObserver | undefined): void {
    const told = observer ?? this.thread.observer
    this.client.observer = told
    this.flow.observe(told)
  }

  /** Moves on, or returns false where the table does not allow it. */
  #become(state: SessionState): boolean {
    if (!LEGAL[this.#state].includes(state)) return false
    this.#state = state
    return true
  }

  tellState(state: ClientState): void {
    this.record.state = state
    this.owner.changed(this.record)
  }

  log(kind: LogKind, message: string, source?: LogSource): void {
    if (kind === 'login-refused') this.owner.loginRefused(this.record, message)
    this.#log.log(kind, message, source)
  }

  // Until it is in

  arrived(bytes: number): void {
    this.login.arrived(bytes)
  }

  write(frame: Buffer): void {
    this.client.write(frame)
  }

  letIn(identity: Identity): void {
    if (!this.#become('authenticated')) return
    this.client.loggedIn()
    this.record.identity = { ...this.record.identity, ...identity }
    this.#log.nowKnown()
    this.thread.clock.cancel(this.#timer)
    this.tellState('serving')
  }

  wait(ms: number): void {
    this.thread.clock.set(this.#timer, ms)
  }

  // From the client

  collected(bytes: Buffer, from: number, to: number, noted: CallKind, descriptors: readonly number[]): void {
    const call = readHeader(bytes, from)
    const { prog, proc } = call
    const args = bytes.subarray(from + HEADER_BYTES + (call.type === MESSAGE.callWithFds ? 4 : 0), to)
    const answered = (noted & KIND.local) !== 0 && answerLocally(this, call, args)
    const answer = answered ? undefined : this.refusals.objection(prog, proc, args)
    if (!answered && answer === undefined) {
      return this.flow.whole(bytes, from, to, kindWithArguments(noted, prog, proc, args), descriptors)
    }
    for (const descriptor of descriptors) this.thread.io.closer.close(descriptor)
    if (answer instanceof RemoteError) {
      this.audit?.refused(bytes, from, true, answer)
      this.client.refuse(call, answer)
    } else if (answer !== undefined) this.client.answer(call, answer)
  }

  taking(yes: boolean): void {
    this.#driver.taking(yes)
  }

  // Calls that the broker answers

  connectOpen(call: Header, name: string | undefined, flags: number): void {
    if (!this.#become('opening')) return this.client.refuse(call, internalError('connection already open'))
    this.#opens = call
    const readonly = this.record.listener.readonly || (flags & OPEN_READONLY) !== 0
    this.#open(name, readonly).then(
      () => {
        this.#opens = undefined
        this.audit?.opened(call, this.uri, readonly)
        this.client.answer(call)
      },
      (error: unknown) => {
        this.#driver.drop(true)
        if (!(error instanceof RemoteError)) return this.failed(error)
        this.audit?.opened(call, name ?? '', readonly, error)
        if (this.#become('authenticated')) this.#refuseOpen(error)
      }
    ).then(() => this.#leave?.goOn(), (error: unknown) => this.failed(error))
  }

  #refuseOpen(error: RemoteError): void {
    const call = this.#opens
    this.#opens = undefined
    if (call !== undefined) this.client.refuse(call, error)
  }

  connectClose(call: Header): void {
    this.client.observer?.answered(this.record, call.prog, call.proc, STATUS.ok, 0, 0, call.serial)
    this.leave.finishWith(replyFrame(call), this.thread.settings.closeTimeoutMs)
  }

  /** The client has closed its direction of the connection. */
  inputEnded(): void {
    const { client, leave } = this
    if (this.#state === 'closing') return this.close(leave.why, 'debug')
    if (leave.hasBegun) return client.probe()
    // Nobody waits for an answer, or for the rest of a frame that never comes.
    const idle = !leave.outstanding && client.transport.pending === 0
    if (this.#state === 'authenticating' || client.reader.unfinished || idle) return this.clientLost({ errno: 0 })
    leave.finishWith(undefined, this.thread.settings.closeTimeoutMs)
    client.probe()
  }

  clientLost({ errno, fault }: LossReason): void {
    if (this.#state === 'closing') return this.close(this.leave.why, 'debug')
    if (fault !== undefined) return this.close(`TLS failed: ${fault}`, 'tls-connection-failed')
    if (errno === EMFILE) return this.close('too many file descriptors', 'client-descriptors')
    this.close(errno === 0 ? `End of file while reading data: ${errorText(EIO)}` : errorText(errno), 'debug')
  }

  // The driver

  open(way: Way, readonly: boolean): Promise<OpenedDriver> {
    this.#shareable = isShareable(way)
    return this.#driver.open(this.access.drivers, { way, readonly, identity: this.record.identity, log: this.#log })
  }

  async #open(name: string | undefined, readonly: boolean): Promise<void> {
    const opened = await this.open(this.access.drivers.find(name, readonly), readonly)
    if (!opened.serve()) throw driverClosed()
    this.#reconnection.opened(opened.candidate, readonly)
    this.#connected(opened, readonly)
  }

  /**
   * What the client may do goes by what it has proved of itself: a CONNECT_SET_IDENTITY of its own changes nothing.
   */
  #connected({ port, source, uri, candidate }: OpenedDriver, readonly: boolean): void {
    // Whoever closes the session abandons what is being opened, and then it does not serve.
    if (!this.#become('open')) throw new Error(`a driver daemon was opened for a session that is ${this.#state}`)
    this.#driver.begin(port)
    this.uri = uri
    this.record.driver = driverOf(uri)
    this.record.opened = openedName(uri)
    this.owner.opened(this.record)
    this.#log.driver = candidate.path
    this.#log.nowKnown()
    const verdicts = this.access.policy.verdictsFor(subjectOf(this.record), readonly)
    this.refusals.use(verdicts)
    this.client.connected(source, verdicts.kinds)
    this.flow.connect(port)
  }

  driverWanted(): void {
    if (this.#state !== 'lost' || this.#reconnection.begin()) return
    throw new Error('a call was let in that waits for a driver daemon nobody connects to')
  }

  reconnecting(): boolean {
    return this.#become('reopening')
  }

  reconnected(opened: OpenedDriver, readonly: boolean): void {
    this.#connected(opened, readonly)
    tellReconnect(this.record, 'ok')
    this.flow.release()
    this.#leave?.goOn()
  }

  notReconnected(error: RemoteError): boolean {
    this.#driver.drop(true)
    if (!this.#become('lost')) return false
    tellReconnect(this.record, 'failed', error)
    this.flow.failWaiting(error)
    this.#leave?.goOn()
    return true
  }

  driverUse(): ConnectionUse | undefined {
    return this.#reconnection.target && ownUse(this.#reconnection.target, this.#shareable, this.record, this.flow)
  }

  failed(error: unknown): void {
    this.thread.io.failed(this, error)
  }

  driverJudged(): void {
    this.flow.driverJudged()
    this.#leave?.goOn()
  }

  driverDrained(): void {
    this.client.resume(PAUSE.driverFull)
  }

  driverViolated(what: string): void {
    this.log('driver-violation', what, SOURCE.driver)
  }

  /** The client stays, unless it has the first part of a frame: there is no way to take that back. */
  driverLost(driver: DriverPort, error: RemoteError, reason: number, cut: boolean): void {
    if (!this.#driver.lost(driver)) return
    if (this.#state === 'closing') return this.client.disconnected()
    this.log('info', `driver daemon lost: ${error.message}`, SOURCE.driver)
    if (cut) return this.close('driver daemon died within a long reply', 'driver-died')
    if (!this.#become('lost')) return
    this.client.disconnected()
    this.#reconnection.lost(this.flow.lost(error, reason))
    this.#leave?.goOn()
  }

  giveUpDriver(error: RemoteError): void {
    this.#driver.drop(true)
    this.#refuseOpen(error)
    this.flow.lost(error, CLOSE_REASON.endOfFile)
  }

  // The end

  get leave(): Leave {
    return (this.#leave ??= new Leave(this, this.client, this.flow))
  }

  /** Closes when `reply`, if there is one, is out. Calls still running are abandoned. */
  closeInOrder(reply: Buffer | undefined): void {
    if (!this.#become('closing')) return
    this.tellState('closing')
    this.client.end(reply)
    if (!this.client.inRelayedFrame) this.#dropDriver()
    this.flow.disconnect()
    if (this.#state === 'closing') this.wait(LINGER_MS)
  }

  /** Closes at once; what is queued for the client is lost. */
  close(why: string, kind: LogKind): void {
    if (!this.#become('closed')) return
    this.#log.ended(why, kind, this.flow.calls.total)
    this.thread.clock.cancel(this.#timer)
    this.#dropDriver()
    this.flow.abandon()
    this.#reconnection.stop()
    this.client.stop()
    // Behind the transport, which may be using what the login has left to it.
    this.login.end()
    this.owner.ended(this.record, why, kind, this.client.sender)
  }

  timeUp(): void {
    if (this.#state === 'authenticating') this.close('not authenticated in time', 'login-late')
    else if (this.leave.hasBegun && this.#state !== 'closing') this.leave.timeUp()
    else this.close('client did not read its last replies', 'info')
  }

  #dropDriver(): void {
    const { calls, streams } = this.flow
    this.flow.disconnect()
    this.#driver.drop(calls.size > 0 || streams.size > 0)
  }
}
