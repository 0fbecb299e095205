import type { MessagePort } from 'node:worker_threads'
import type { RemoteError } from '../../protocol/errors.js'
import type { Identity } from '../../protocol/identity.js'
import { BusyWatch } from '../thread/busy-watch.js'
import { Clock, type Closable } from '../base/clock.js'
import type { ActorControl, ActorNews, ActorTask, ClientInfo, LoadNews, ToActor } from '../thread/control.js'
import { Comebacks } from '../driver/comebacks.js'
import { KnownNames } from '../driver/known-names.js'
import { LogLimit } from '../base/log-limit.js'
import { AccountNames } from '../names/account-names.js'
import { FdLedger } from '../os/fd-ledger.js'
import { LastHeard } from '../os/last-heard.js'
import { ForeignCloser, NOBODY } from '../os/foreign-close.js'
import { setIntOption, SO_OOBINLINE, SOL_SOCKET } from '../os/libc.js'
import { Poller } from '../os/poller.js'
import { Policy } from '../policy/policy.js'
import { Authority } from '../polkit/authority.js'
import { SaslThreadClient } from '../sasl/thread-client.js'
import { failureText, LOG_LEVELS, SOURCE, type Log, type LogLevel } from '../base/log.js'
import type { Admission } from '../thread/admission.js'
import type { ActorSettings } from '../thread/settings.js'
import { ClientSession } from '../session/client-session.js'
import type { DriverSide } from '../session/driver-side.js'
import { TlsAcceptor } from '../arrival/tls-handshake.js'
import type { TlsSettings } from '../tls/tls-settings.js'
import { SplicePipe } from '../transport/splice-pipe.js'
import { makeReadBuffer, PolledTransport, type ThreadIo } from '../transport/polled.js'
import { SaslLayer } from '../sasl/sasl-layer.js'
import type { Transport, TransportHandler } from '../transport/transport.js'
import { Turns } from '../thread/turns.js'
import { UnopenedMemory } from '../thread/unopened-memory.js'
import { UnixArrivals } from '../arrival/unix-arrivals.js'

const NEWS_MS = 5
/** Longer messages are cut: peers choose parts of them. */
const MAX_MESSAGE_CHARACTERS = 4096
/** Driver connections that take leave of their daemons at a time. Beyond that they are simply closed. */
const MAX_LEAVING = 1000
/** Of each kind, about peers that have not logged in. */
const STRANGERS_LINES_A_MINUTE = 30
/** Connections after which the event loop turns: a flood of them is not to keep the calls of others waiting. */
const ADMISSIONS_PER_TURN = 16
const MAKES_ROOM = 'not logged in, closed to make room for others'

/** One thread's clients. Everything about a client happens here, so nothing needs a lock. */
export class Actor implements ActorControl {
  readonly clock = new Clock((session, error) => this.failed(session, error))
  readonly turns = new Turns((session, error) => this.failed(session, error))
  readonly unopened = new UnopenedMemory()
  readonly settings: ActorSettings
  readonly io: ThreadIo
  readonly polkit: Authority
  readonly policy: Policy
  readonly sasl = new SaslThreadClient()
  readonly names: KnownNames
  readonly lastHeard: LastHeard
  /** Sockets whose daemons have asked for authentication. */
  readonly guarded = new Set<string>()
  readonly comebacks = new Comebacks()
  readonly #sessions = new Map<number, ClientSession>()
  readonly #tls: TlsAcceptor
  /** Of UNIX clients, until it is known who they are. */
  readonly #unidentified: UnixArrivals
  readonly #accounts: AccountNames
  readonly #work: MessagePort
  /** Handed over and not taken up. */
  readonly #arrivals: Admission[] = []
  /** Taken up since the loop was last seen to turn. */
  #admitted = 0
  #news: (ActorNews | LoadNews)[] = []
  #logLevel: number
  #leaving = 0
  #closing = false
  #over = false
  #finished: () => void = () => {}
  /** Resolves when `shutdown` was called and all is closed. */
  readonly done = new Promise<void>(resolve => (this.#finished = resolve))

  constructor({ number, settings, ledger, limits, lastHeard, work, names, sasl }: Omit<ActorTask, 'control'>) {
    this.settings = settings
    this.lastHeard = new LastHeard(lastHeard)
    this.names = new KnownNames(settings)
    this.#logLevel = LOG_LEVELS.indexOf(settings.logLevel)
    if (sasl !== undefined) this.sasl.connect(sasl)
    this.policy = new Policy(settings.policy, settings.shield)
    this.polkit = new Authority(settings.systemBusAddress, this.clock)
    const known = new FdLedger(ledger, limits.own)
    const poller = new Poller(fd => known.close(fd))
    poller.onPoll = () => this.turns.polled()
    known.adopt(poller.fd, number)
    this.io = {
      poller,
      ledger: known,
      owner: number,
      closer: new ForeignCloser(known, limits.foreign),
      buffer: makeReadBuffer(),
      pipe: new SplicePipe(known, number),
      failed: (session, error) => this.failed(session, error)
    }
    this.#tls = new TlsAcceptor({
      io: this.io,
      clock: this.clock,
      lastHeard: this.lastHeard,
      settings,
      log: this.strangers.write,
      begin: (admission, transport, identity) => {
        this.#tell({ kind: 'secured', id: admission.id })
        this.#beginOver(admission, transport, identity)
      },
      ended: ({ id }, why) => this.#ended(id, why)
    })
    this.#accounts = new AccountNames(names, this.clock, settings.superuser)
    this.#unidentified = new UnixArrivals({
      clock: this.clock,
      settings,
      names: this.#accounts,
      begin: (admission, { uid, identity, failure }) => this.#begin(admission, identity, uid ?? NOBODY, failure),
      turnAway: (admission, why) => this.#turnAway(admission, why),
      failed: error => this.failed(undefined, error),
      log: this.log
    })
    new BusyWatch(this.clock, busy => this.#tell({ kind: 'busy', busy }))
    this.#work = work
    work.on('message', ({ admissions, evictions }: ToActor) => {
      for (const id of evictions) this.#evict(id)
      this.#arrivals.push(...admissions)
      this.#admitSome()
    })
  }

  readonly log: Log = (level, source, message, about) => {
    if (!this.hears(level)) return
    this.#tell({ kind: 'log', level, source, message: message.slice(0, MAX_MESSAGE_CHARACTERS), about })
  }

  /** For lines about peers that have not logged in. */
  readonly strangers = new LogLimit(this.clock, this.log, STRANGERS_LINES_A_MINUTE)

  /** Whether lines of this level go anywhere: others need not be put together. */
  hears(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= this.#logLevel
  }

  setLogLevel(level: LogLevel): void {
    this.#logLevel = LOG_LEVELS.indexOf(level)
  }

  /** A client is counted for as long as its connection may have to wait for being closed. */
  sessionEnded(session: ClientSession, why: string): void {
    const { id } = session.admission
    const { sender } = session.client.transport
    this.#sessions.delete(id)
    if (sender === undefined) this.#ended(id, why)
    else this.io.closer.whenRoom(sender, () => this.#ended(id, why))
  }

  /** Lets a driver connection that its client needs no more end in order. False if there is no room for that. */
  leave(driver: DriverSide): boolean {
    if (this.#leaving >= MAX_LEAVING) return false
    this.#leaving++
    driver.leave(this.#hasLeft)
    return true
  }

  readonly #hasLeft = (): void => {
    this.#leaving--
    this.#finishIfEmpty()
  }

  /** An exception while a client was served ends that client and nobody else. */
  failed(session: Closable | undefined, error: unknown): void {
    this.log('error', SOURCE.server, `unexpected failure: ${failureText(error)}`)
    session?.close('internal failure', 'error')
  }

  authenticated(session: ClientSession): void {
    this.#tell({ kind: 'authenticated', id: session.admission.id })
  }

  /** Those that are no sessions yet. */
  get #beginning(): Admission[] {
    return [...this.#tls.admissions, ...this.#unidentified.admissions]
  }

  // ActorControl

  clients(): ClientInfo[] {
    return [...this.#beginning.map(describeHandshake), ...[...this.#sessions.values()].map(describe)]
  }

  client(id: number): ClientInfo | undefined {
    const session = this.#sessions.get(id)
    if (session !== undefined) return describe(session)
    const admission = this.#beginning.find(other => other.id === id)
    return admission && describeHandshake(admission)
  }

  disconnect(id: number): boolean {
    const session = this.#sessions.get(id)
    const why = 'disconnected by the administrator'
    session?.close(why, 'info')
    return session !== undefined || this.#tls.close(id, why) || this.#unidentified.close(id, why)
  }

  setTls(settings: TlsSettings): void {
    this.#tls.use(settings)
  }

  useSasl(port: MessagePort): void {
    this.sasl.connect(port)
  }

  shutdown(): void {
    this.#closing = true
    for (const admission of this.#arrivals.splice(0)) this.#admit(admission)
    this.#tls.closeAll('shutdown')
    this.#unidentified.closeAll('shutdown')
    for (const session of [...this.#sessions.values()]) session.close('shutdown', 'debug')
    this.#finishIfEmpty()
  }

  // Connections

  /** Messages come many in a turn, so it is not each of them that may bring so many. */
  #admitSome(): void {
    const taken = this.#arrivals.splice(0, ADMISSIONS_PER_TURN - this.#admitted)
    if (taken.length === 0) return
    for (const admission of taken) this.#admit(admission)
    this.#admitted += taken.length
    if (this.#admitted < ADMISSIONS_PER_TURN) return
    setImmediate(() => {
      this.#admitted = 0
      this.#admitSome()
    })
  }

  #admit(admission: Admission): void {
    const { fd } = admission
    const { ledger, owner } = this.io
    ledger.adopt(fd, owner)
    admission.takenAt = this.clock.now
    if (this.#closing) return this.#turnAway(admission, 'shutdown')
    if (admission.transport === 'tls') return this.#tls.accept(admission)
    if (admission.transport === 'tcp') return this.#begin(admission, {})
    this.#unidentified.accept(admission)
  }

  /** The supervisor wants the client's place for another. Whoever has come in meanwhile stays. */
  #evict(id: number): void {
    const session = this.#sessions.get(id)
    if (session !== undefined) {
      if (session.newcomer === undefined) this.#tell({ kind: 'kept', id })
      else session.close(MAKES_ROOM, 'info')
      return
    }
    if (this.#tls.close(id, MAKES_ROOM) || this.#unidentified.close(id, MAKES_ROOM)) return
    const index = this.#arrivals.findIndex(admission => admission.id === id)
    const admission = this.#arrivals.splice(index, index < 0 ? 0 : 1)[0]
    // Else it has ended by itself, and that is on its way to the supervisor.
    if (admission !== undefined) this.#turnAway(admission, MAKES_ROOM)
  }

  #turnAway({ id, fd }: Admission, why: string): void {
    this.io.closer.closeSocket(fd)
    this.#ended(id, why)
  }

  /** `sender`: of descriptors, for a UNIX client. */
  #begin(admission: Admission, identity: Identity, sender?: number, failure?: RemoteError): void {
    if (this.#closing) return this.#turnAway(admission, 'shutdown')
    this.#beginOver(admission, handler => this.#transport(admission, handler, sender), identity, failure)
  }

  #beginOver(
    admission: Admission,
    transport: (handler: TransportHandler) => Transport,
    identity: Identity,
    failure?: RemoteError
  ): void {
    let made: Transport | undefined
    try {
      const make = (handler: TransportHandler): Transport => (made = transport(handler))
      this.#sessions.set(admission.id, new ClientSession(this, admission, make, identity, failure))
    } catch (error) {
      // No memory for one more in the kernel's tables, for instance.
      this.failed(undefined, error)
      if (made === undefined) return this.#turnAway(admission, 'internal failure')
      made.destroy()
      this.#ended(admission.id, 'internal failure')
    }
  }

  #ended(id: number, why: string): void {
    this.#tell({ kind: 'ended', id, why })
    this.#finishIfEmpty()
  }

  #finishIfEmpty(): void {
    if (!this.#closing) return
    if (this.#sessions.size + this.#tls.size + this.#unidentified.size + this.#leaving === 0) this.#finish()
  }

  #transport({ fd, transport, auth }: Admission, handler: TransportHandler, sender: number | undefined): Transport {
    // Left out of line, an urgent byte is dropped in the middle of a read, and descriptors that came with it.
    if (sender !== undefined) setIntOption(fd, SOL_SOCKET, SO_OOBINLINE, 1)
    const plain = (above: TransportHandler): Transport => new PolledTransport(this.io, fd, above, { sender })
    if (transport !== 'tcp' || auth !== 'sasl') return plain(handler)
    return new SaslLayer(plain, handler, error => this.failed(handler.session, error))
  }

  /** News of a few milliseconds travels in one message: each wakes the supervisor's thread. */
  #tell(news: ActorNews | LoadNews): void {
    if (this.#news.length === 0) setTimeout(() => this.#flush(), NEWS_MS)
    this.#news.push(news)
  }

  #flush(): void {
    const news = this.#news
    this.#news = []
    if (news.length > 0) this.#work.postMessage(news)
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.strangers.close()
    this.#flush()
    this.clock.stop()
    this.polkit.close()
    this.sasl.close()
    this.#accounts.close()
    this.io.pipe.close()
    this.io.poller.close()
    this.#work.close()
    this.#finished()
  }
}

function describeHandshake({ id, readonly, transport }: Admission): ClientInfo {
  const nothing = { uri: '', identity: {}, callsInFlight: 0, callsWaiting: 0, streams: 0 }
  return { id, state: 'handshake', readonly, transport, ...nothing }
}

function describe(session: ClientSession): ClientInfo {
  const { admission, state, uri, identity, flow, streams } = session
  return {
    id: admission.id,
    state,
    uri,
    readonly: admission.readonly,
    transport: admission.transport,
    identity,
    callsInFlight: flow.calls.size,
    callsWaiting: flow.waiting,
    streams: streams.size
  }
}
