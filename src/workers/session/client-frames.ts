import {
  KIND,
  KIND_LOOKED_INTO,
  KIND_WORK,
  kindOf,
  LOCAL_KINDS,
  mostArgumentBytes,
  PLAIN_KINDS,
  type CallKind,
  type KindTables
} from '../../protocol/call-kinds.js'
import { authenticationRequired, undecodable, type RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition, type FrameReader } from '../../protocol/frame-reader.js'
import {
  frameLength,
  frameProcedure,
  frameProgram,
  frameStatus,
  frameType,
  frameVersion,
  HEADER_BYTES,
  MESSAGE,
  PROGRAM,
  PROGRAM_VERSION,
  readHeader,
  STATUS,
  type Header
} from '../../protocol/header.js'
import { KEEPALIVE, REMOTE } from '../../protocol/procedures.js'
import type { Clock, Closable } from '../base/clock.js'
import { FrameInput, type FrameInputOwner } from '../framing/frame-input.js'
import type { Keepalive } from '../framing/keepalive.js'
import type { Counters } from '../thread/counters.js'
import type { SessionObserver } from '../thread/session-observer.js'
import type { ForeignCloser } from '../os/foreign-close.js'
import type { ActorSettings } from '../thread/settings.js'
import type { Turns } from '../thread/turns.js'
import type { UnopenedMemory } from '../thread/unopened-memory.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { Transport } from '../transport/transport.js'
import {
  CallsWithDescriptors,
  MAX_CALL_WITH_FDS_BYTES,
  MAX_REFUSED_CALL_WITH_FDS_BYTES,
  type DescriptorSender
} from './calls-with-descriptors.js'
import type { ClientEvents, ClientUser } from './ports.js'
import { LEAST_SPLICED_BYTES, UploadPath } from './upload-path.js'

/** The connection that the frames come by. */
export interface ClientConnection {
  readonly session: Closable
  readonly keepalive: Keepalive
  readonly carriesDescriptors: boolean
  /** Answers a call with an error of the broker's. */
  fail(call: Header, error: RemoteError): void
  /** The client wants to know whether we live. */
  pinged(): void
}

/** A client that was refused so often before it logged in does not want to log in. */
const MAX_REFUSALS_BEFORE_LOGIN = 64

/** What a client's connection needs of its thread. */
export interface ClientServices {
  readonly clock: Clock
  readonly io: ThreadIo
  readonly turns: Turns
  readonly unopened: UnopenedMemory
  readonly settings: Pick<ActorSettings, 'keepalive' | 'clientStallTimeoutMs' | 'maxClientRequests'>
  readonly counters: Counters
  readonly observer: SessionObserver | undefined
}

/** What comes from a client: each frame is judged at its header, and those that go no further are answered. */
export class ClientFrames implements FrameInputOwner, DescriptorSender {
  readonly input: FrameInput
  readonly reader: FrameReader
  readonly #services: ClientServices
  readonly #user: ClientUser
  readonly #connection: ClientConnection
  /** Of what kinds the client's calls are, by what is kept from it. */
  #kinds: KindTables = PLAIN_KINDS
  /** Calls come too late. */
  #deaf = false
  /** Made when the first descriptor, or call that announces some, comes. */
  #fds: CallsWithDescriptors | undefined
  #upload: UploadPath | undefined
  #refusals = 0
  /** Bytes that stand for this client in the thread's account of unopened connections. */
  #counted = 0

  constructor(services: ClientServices, user: ClientUser, connection: ClientConnection, transport: Transport) {
    this.#services = services
    this.#user = user
    this.#connection = connection
    this.input = new FrameInput(this, transport, services.turns)
    this.reader = this.input.reader
  }

  get session(): Closable {
    return this.#connection.session
  }

  get events(): ClientEvents {
    return this.#user.events
  }

  get closer(): ForeignCloser {
    return this.#services.io.closer
  }

  get carriesDescriptors(): boolean {
    return this.#connection.carriesDescriptors
  }

  /** While an upload goes on in long packets. */
  get splicePath(): UploadPath | undefined {
    return this.#upload
  }

  /** The client's calls are of these kinds from now on. */
  use(kinds: KindTables): void {
    if (!this.#deaf) this.#kinds = kinds
  }

  /** Calls that come from now on are passed over, but for CONNECT_CLOSE. What belongs to a stream goes on. */
  hearNoCalls(): void {
    this.#deaf = true
    this.#kinds = LOCAL_KINDS
  }

  stop(): void {
    this.input.stop()
    this.#countMemory(0)
    this.#fds?.passing.discard()
  }

  judged(all: boolean): void {
    const offence = all && this.#fds !== undefined ? this.#offence(this.#fds) : undefined
    const { standing, events, calls } = this.#user
    if (offence !== undefined) events.close(offence, 'protocol-violation')
    if (!calls.connected || this.#counted > 0) this.#countMemory(standing.hasOpened ? 0 : this.input.keptBytes)
    calls.release()
  }

  #countMemory(bytes: number): void {
    if (bytes === this.#counted) return
    this.#counted = bytes
    this.#services.unopened.note(this.session, bytes)
  }

  arrivedDescriptors(descriptors: readonly number[]): void {
    this.#ownFds().passing.arrived(descriptors)
  }

  /** Nobody needs to pass descriptors in order to log in. */
  #offence(fds: CallsWithDescriptors): string | undefined {
    return this.#user.standing.authenticating ? 'file descriptors before the login' : fds.passing.offence()
  }

  inputEnded(): void {
    this.#user.events.inputEnded()
  }

  head(bytes: Buffer, at: number, known: boolean): Disposition {
    const { keepalive } = this.#connection
    keepalive.heardAt = keepalive.clock.now
    const type = frameType(bytes, at)
    if (type === MESSAGE.call) {
      // A header that came in two pieces does not stand before the rest.
      const whole = known && at + frameLength(bytes, at) <= bytes.length
      const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
      // The one path that nearly every frame takes.
      if (kind !== undefined && (kind & KIND_WORK) === 0 && this.#user.calls.connected && this.#plain(bytes, at)) {
        const disposition = this.#forward(bytes, at, kind, whole)
        if (disposition === DISPOSITION.hold) this.input.spend()
        return disposition
      }
      this.input.spend()
      return this.#unusualCall(bytes, at, kind, whole)
    }
    if (type === MESSAGE.stream || type === MESSAGE.streamHole) return this.#streamPacket(bytes, at)
    if (type === MESSAGE.callWithFds) return this.#callWithFdsHead(bytes, at)
    if (type === MESSAGE.event) this.#message(bytes, at)
    // REPLY, MESSAGE and unknown types are dropped without a word, as virtproxyd does.
    return DISPOSITION.skip
  }

  run(bytes: Buffer, from: number, to: number, disposition: Disposition): void {
    this.#user.calls.relay(bytes, from, to, disposition)
  }

  frame(bytes: Buffer, from: number, to: number, kind: CallKind): void {
    this.input.spend(to - from)
    if (frameType(bytes, from) === MESSAGE.callWithFds) this.#ownFds().frame(bytes, from, to)
    else this.#user.events.collected(bytes, from, to, kind, [])
  }

  tail(count: number): void {
    this.#fds?.passing.tail(count)
  }

  illegal(length: number): void {
    this.#user.events.close(`frame length ${length} is not legal`, 'protocol-violation')
  }

  /** Known version and status OK. */
  #plain(bytes: Buffer, at: number): boolean {
    return frameVersion(bytes, at) === PROGRAM_VERSION && frameStatus(bytes, at) === STATUS.ok
  }

  refuse(call: Header, error: RemoteError): void {
    this.#connection.fail(call, error)
    if (!this.#user.standing.authenticating || ++this.#refusals < MAX_REFUSALS_BEFORE_LOGIN) return
    this.#user.events.close('too many calls that were refused before it logged in', 'calls-before-login')
  }

  #refuse(bytes: Buffer, at: number, error: RemoteError, whole = false): Disposition {
    this.#user.audit?.refused(bytes, at, whole, error)
    this.refuse(readHeader(bytes, at), error)
    return DISPOSITION.skip
  }

  /** Any call that is not simply passed on. */
  #unusualCall(bytes: Buffer, at: number, kind: CallKind | undefined, whole: boolean): Disposition {
    if (this.#deaf && !isClose(bytes, at)) return DISPOSITION.skip
    const refusal = this.#user.refusals.refusal(bytes, at, kind)
    if (refusal !== undefined || kind === undefined) return this.#refuse(bytes, at, refusal!, whole)
    if ((kind & (KIND.local | KIND_LOOKED_INTO)) !== 0 || ((kind & KIND.audited) !== 0 && !whole)) {
      this.reader.note(kind)
      return this.#collect(bytes, at, mostArgumentBytes(kind))
    }
    return this.#forward(bytes, at, kind, whole)
  }

  #forward(bytes: Buffer, at: number, kind: CallKind, whole: boolean): Disposition {
    const disposition = this.#user.calls.forward(bytes, at, kind, whole)
    if (disposition === DISPOSITION.collect) this.reader.note(kind)
    return disposition
  }

  /** Longer arguments than any that decode are not kept. */
  #collect(bytes: Buffer, at: number, maxBytes: number): Disposition {
    return frameLength(bytes, at) <= HEADER_BYTES + maxBytes ? DISPOSITION.collect : this.#refuse(bytes, at, undecodable())
  }

  #ownFds(): CallsWithDescriptors {
    return (this.#fds ??= new CallsWithDescriptors(this))
  }

  /**
   * How many descriptors follow stands behind the header, so the frame is looked at whole, and judged then. Before the
   * client is in nothing is kept for it: descriptors that follow a refused call end the connection.
   */
  #callWithFdsHead(bytes: Buffer, at: number): Disposition {
    this.input.spend()
    const { authenticating, hasOpened, failure } = this.#user.standing
    if (authenticating || failure !== undefined) {
      const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
      return this.#refuse(bytes, at, this.#user.refusals.refusal(bytes, at, kind) ?? failure ?? authenticationRequired())
    }
    const served = hasOpened && this.carriesDescriptors
    return this.#collect(bytes, at, served ? MAX_CALL_WITH_FDS_BYTES : MAX_REFUSED_CALL_WITH_FDS_BYTES)
  }

  /** libvirt never registers with descriptors, and the arguments would stand elsewhere. */
  judge(bytes: Buffer, at: number): CallKind | undefined {
    if (this.#deaf) return undefined
    const kind = kindOf(this.#kinds, frameProgram(bytes, at), frameProcedure(bytes, at))
    const refusal = this.#user.refusals.refusal(bytes, at, kind)
    if (refusal === undefined) return kind! & ~KIND.registration
    this.#refuse(bytes, at, refusal, true)
    return undefined
  }

  #streamPacket(bytes: Buffer, at: number): Disposition {
    const { calls, events } = this.#user
    const disposition = calls.packet(bytes, at)
    if (disposition === undefined) events.close('unexpected stream hole', 'protocol-violation')
    else if (disposition === DISPOSITION.pass && frameLength(bytes, at) >= LEAST_SPLICED_BYTES) {
      this.#upload ??= new UploadPath(this.reader, calls, () => (this.#upload = undefined))
    }
    return disposition ?? DISPOSITION.skip
  }

  #message(bytes: Buffer, at: number): void {
    if (frameProgram(bytes, at) !== PROGRAM.keepalive || frameVersion(bytes, at) !== PROGRAM_VERSION) return
    if (frameProcedure(bytes, at) !== KEEPALIVE.ping) return
    this.input.spend()
    this.#connection.pinged()
  }
}

const isClose = (bytes: Buffer, at: number): boolean =>
  frameProgram(bytes, at) === PROGRAM.remote && frameProcedure(bytes, at) === REMOTE.connectClose
