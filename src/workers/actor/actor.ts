import type { MessagePort } from 'node:worker_threads'
import { wrap } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { BusyWatch } from '../thread/busy-watch.js'
import { Clock, type Closable } from '../base/clock.js'
import type { ActorControl, ActorTask, DaemonStarter, ToActor } from '../thread/control.js'
import { Leaving } from '../driver/leaving.js'
import { DriverPool } from '../driver/driver-pool.js'
import { DriverLinks } from '../driver/driver-links.js'
import { LocalDrivers } from '../driver/open-driver.js'
import type { LogKind } from '../base/log-kinds.js'
import { LogLimit } from '../base/log-limit.js'
import { AccountNames } from '../names/account-names.js'
import { FdLedger } from '../os/fd-ledger.js'
import { LastHeard } from '../os/last-heard.js'
import { ForeignCloser } from '../os/foreign-close.js'
import type { ListenerKind } from '../os/listener-kind.js'
import { Poller } from '../os/poller.js'
import { AuditTrail } from '../observe/audit-trail.js'
import { CallMeter } from '../observe/call-meter.js'
import { Diagnostics } from '../observe/diagnostics.js'
import { SlowCalls, type SlowCallsOwner } from '../observe/slow-calls.js'
import type { SlowCall } from '../thread/slow-call.js'
import type { SessionObserver } from '../thread/session-observer.js'
import { AUDITED } from '../policy/audited.js'
import { Policy } from '../policy/policy.js'
import { Authority } from '../polkit/authority.js'
import { SaslThreadClient } from '../sasl/thread-client.js'
import { AuditWindow } from '../thread/audit-window.js'
import { Counters } from '../thread/counters.js'
import { FAMILIES } from '../thread/metric-families.js'
import { Figures } from '../thread/figures.js'
import type { BusyReport } from '../thread/busy-report.js'
import type { ConnectionPage } from '../thread/driver-report.js'
import { packFigures } from '../thread/client-figures.js'
import { failureText, levelOf, LOG_LEVELS, SOURCE, type Log } from '../base/log.js'
import { Gauges } from './gauges.js'
import { BusyClients } from './busy-clients.js'
import { Drain, type DrainOwner } from './drain.js'
import { changeOf, Outbox } from './outbox.js'
import { Traces } from './traces.js'
import type { ClientActivity, ClientState, ServedRecord } from '../thread/client-record.js'
import type { TraceAnswer } from '../thread/trace-report.js'
import type { ThreadLog, ThreadServices } from '../thread/services.js'
import type { SessionAccess, SessionOwner } from '../session/session-owner.js'
import type { ActorSettings } from '../thread/settings.js'
import { ClientSession } from '../session/client-session.js'
import { Arrivals } from '../arrival/arrivals.js'
import type { Arrived } from '../arrival/arriving-client.js'
import { proxied } from '../arrival/proxied.js'
import { ProxiedIdentity } from '../arrival/proxied-identity.js'
import { TlsHandshakes } from '../arrival/tls-handshake.js'
import { identifying } from '../arrival/unix-peer.js'
import { SplicePipe } from '../transport/splice-pipe.js'
import { makeReadBuffer, type ThreadIo } from '../transport/thread-io.js'
import { WHY } from '../thread/why.js'
import { Turns } from '../thread/turns.js'
import { UnopenedMemory } from '../thread/unopened-memory.js'

/** How long a stop waits for driver daemons that take leave. */
const GOODBYE_MS = 500
/** Longer messages are cut: peers choose parts of them. */
const MAX_MESSAGE_CHARACTERS = 4096
/** Of each kind, about peers that have not logged in. */
const STRANGERS_LINES_A_MINUTE = 30

/** One thread's clients. Everything about a client happens here, so nothing needs a lock. */
export class Actor implements ActorControl, DrainOwner, ThreadServices, SessionAccess, SessionOwner, SlowCallsOwner {
  readonly clock = new Clock((session, error) => this.failed(session, error))
  readonly turns = new Turns((session, error) => this.failed(session, error))
  readonly unopened = new UnopenedMemory()
  /** Replaced as a whole: nobody keeps a part of it. */
  settings: ActorSettings
  readonly io: ThreadIo
  readonly polkit: Authority
  policy: Policy
  readonly sasl = new SaslThreadClient()
  readonly #meter: CallMeter | undefined
  readonly #slowCalls: SlowCalls
  /** Where somebody may have subscribed to it. */
  readonly #diagnostics: Diagnostics | undefined
  readonly #trail: AuditTrail
  readonly drivers: DriverPool
  /** Driver connections that end in order. */
  readonly links: DriverLinks
  readonly leaving = new Leaving(() => this.#finishIfEmpty())
  readonly figures: Figures
  readonly counters: Counters
  readonly #sessions = new Map<number, ClientSession>()
  readonly #traces: Traces
  readonly #busy: BusyClients
  readonly #arrivals: Arrivals
  readonly #tls: TlsHandshakes
  #proxied: ProxiedIdentity | undefined
  readonly #gauges: Gauges | undefined
  readonly #accounts: AccountNames
  readonly #work: MessagePort
  readonly #daemons: MessagePort | undefined
  readonly #outbox = new Outbox(news => this.#work.postMessage(news), () => this.#trail.take())
  #drain: Drain | undefined
  #closing = false
  #over = false
  #finished: () => void = () => {}
  /** Resolves when `shutdown` was called and all is closed. */
  readonly done = new Promise<void>(resolve => (this.#finished = resolve))

  constructor(task: Omit<ActorTask, 'control' | 'pulse'>) {
    const {
      number, settings, ledger, limits, lastHeard, counters, metering, module, audit, figures, work, names, sasl, daemons
    } = task
    this.settings = settings
    this.figures = new Figures(figures)
    this.links = new DriverLinks(this.figures)
    this.counters = new Counters(counters)
    this.#meter = metering ? new CallMeter(this.counters) : undefined
    this.#slowCalls = new SlowCalls(this, this.#meter)
    this.#diagnostics = module === undefined ? undefined : new Diagnostics(() => this.#ownObserver)
    this.#traces = new Traces(this.clock, () => this.observer)
    this.#busy = new BusyClients(this.clock, () => this.observer)
    if (sasl !== undefined) this.sasl.connect(sasl)
    this.#trail = new AuditTrail(new AuditWindow(audit.window), audit.product, () => this.settings, () => this.#outbox.flushSoon())
    this.policy = this.#policyBy(settings)
    this.polkit = new Authority(settings.systemBusAddress, this.clock)
    const known = new FdLedger(ledger, limits.own)
    const poller = new Poller(fd => known.close(fd))
    const { turns } = this
    poller.onPoll = () => turns.polled()
    poller.onPolled = () => turns.pollOver()
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
    this.#daemons = daemons
    const local = new LocalDrivers(this, daemons && wrap<DaemonStarter>(nodeEndpoint(daemons)))
    this.drivers = new DriverPool(local, this)
    this.#gauges = metering ? new Gauges(this) : undefined
    this.#accounts = new AccountNames(names, this.clock, settings.superuser)
    this.#tls = new TlsHandshakes(this.io, this.counters)
    if (settings.tls !== undefined) this.#tls.use(settings.tls)
    this.#proxied = settings.proxiedTls && new ProxiedIdentity(settings.proxiedTls)
    const owner = {
      io: this.io,
      clock: this.clock,
      lastHeard: new LastHeard(lastHeard),
      settings: () => this.settings,
      log: this.log.strangers,
      begin: (arrived: Arrived) => this.#begin(arrived),
      supervisor: {
        ended: (id: number, why: string, kind: LogKind) => this.#ended(id, why, kind, 'arriving'),
        cameFrom: (id: number, peer: string) => this.#outbox.step({ kind: 'peer', id, peer }),
        countsAs: (id: number, listener: ListenerKind) => this.#outbox.step({ kind: 'listener', id, listener })
      }
    }
    this.#arrivals = new Arrivals(owner, {
      proxy: proxied(this.io, this.counters, () => this.#proxied),
      handshake: this.#tls.handshake,
      identifying: identifying(this.#accounts)
    })
    new BusyWatch(this.clock, busy => this.#outbox.tell({ kind: 'busy', busy }))
    this.#work = work
    work.on('message', ({ handOvers, evictions }: ToActor) => {
      for (const id of evictions) this.#evict(id)
      this.#arrivals.take(handOvers)
    })
  }

  readonly #write: Log = (kind, source, message, about) => {
    if (!this.log.hears(levelOf(kind))) return
    this.#outbox.tell({ kind: 'log', of: kind, source, message: message.slice(0, MAX_MESSAGE_CHARACTERS), about: about?.() })
  }

  /** About peers that have not logged in. */
  readonly #strangers = new LogLimit(this.clock, this.#write, STRANGERS_LINES_A_MINUTE, () => this.counters.add(FAMILIES.logSuppressed, 1))

  readonly log: ThreadLog = {
    write: this.#write,
    strangers: this.#strangers.write,
    hears: level => LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.settings.logLevel)
  }

  /** A client is counted for as long as its connection may have to wait for being closed. */
  ended(record: ServedRecord, why: string, kind: LogKind, sender: number | undefined): void {
    this.#diagnostics?.closed(record, why)
    const session = this.#sessions.get(record.id)
    if (session !== undefined) this.#gauges?.ended(session)
    this.#sessions.delete(record.id)
    this.#traces.ended(record.id, why)
    this.#busy.leave(record.id)
    this.#outbox.forget(record)
    const ended = (): void => this.#ended(record.id, why, kind, record.state, record.opened)
    if (sender === undefined) ended()
    else this.io.closer.whenRoom(sender, ended)
  }

  loginRefused({ id, identity }: ServedRecord, why: string): void {
    if (this.audit !== undefined) this.#outbox.step({ kind: 'refused', id, why, identity })
  }

  /** Undefined where calls of clients that come now are not recorded. */
  get audit(): AuditTrail | undefined {
    return this.settings.auditing ? this.#trail : undefined
  }

  /** Undefined where nobody wants to be told. */
  get observer(): SessionObserver | undefined {
    return this.#diagnostics ?? this.#ownObserver
  }

  get #ownObserver(): SessionObserver | undefined {
    return this.settings.slowCallMs > 0 ? this.#slowCalls : this.#meter
  }

  slowCall(call: SlowCall): void {
    this.#outbox.tell({ kind: 'slow', call })
  }

  sessions(): Iterable<ClientSession> {
    return this.#sessions.values()
  }

  /** An exception while a client was served ends that client and nobody else. */
  failed(session: Closable | undefined, error: unknown): void {
    this.log.write('internal-failure', SOURCE.server, `unexpected failure: ${failureText(error)}`)
    session?.close('internal failure', 'internal-failure')
  }

  /** Something has changed in the record of a client. */
  changed(record: ServedRecord): void {
    this.observer?.changed(record)
    // The audit is to hear of a login however soon its client goes.
    if (this.audit === undefined) this.#outbox.changed(record)
    else this.#outbox.step(changeOf(record))
  }

  opened(record: ServedRecord): void {
    this.observer?.changed(record)
    this.#outbox.opened(record)
  }

  // ActorControl

  ready(): void {}

  activity(id: number): ClientActivity | undefined {
    return this.#sessions.get(id)?.activity
  }

  connections(after: number): ConnectionPage {
    return this.links.reports(after)
  }

  busiest(): BusyReport {
    return this.#busy.look(this.#sessions.values(), id => this.#traces.has(id))
  }

  clientFigures(): Float64Array<ArrayBuffer> {
    return packFigures(this.#sessions.values(), this.#sessions.size, performance.now())
  }

  trace(id: number, by: number): TraceAnswer | undefined {
    this.#busy.leave(id)
    return this.#traces.report(id, by, this.#sessions.get(id))
  }

  disconnect(id: number): boolean {
    const session = this.#sessions.get(id)
    const why = WHY.administrator
    session?.close(why, 'info')
    return session !== undefined || this.#arrivals.close(id, why)
  }

  apply(settings: ActorSettings): void {
    // This may fail, and nothing has changed then.
    if (settings.tls !== undefined) this.#tls.use(settings.tls)
    this.#proxied = settings.proxiedTls && new ProxiedIdentity(settings.proxiedTls)
    this.settings = settings
    this.policy = this.#policyBy(settings)
    this.drivers.reconsider()
  }

  #policyBy({ policy, shield, auditing, auditReads }: ActorSettings): Policy {
    return new Policy(policy, shield, auditing ? AUDITED[auditReads ? 'all' : 'notable'] : undefined)
  }

  useSasl(port: MessagePort): void {
    this.sasl.connect(port)
  }

  drain(ms: number): void {
    this.#arrivals.closeAll(WHY.stops)
    this.#drain?.stop()
    this.#drain = new Drain(this, ms)
  }

  resume(): void {
    this.#arrivals.reopen()
  }

  shutdown(): void {
    this.#closing = true
    this.#drain?.stop()
    this.#arrivals.closeAll(WHY.shutdown)
    for (const session of [...this.#sessions.values()]) session.close(WHY.shutdown, 'debug')
    this.drivers.stop()
    this.#finishIfEmpty()
    // A daemon that does not answer the goodbye is not waited for.
    setTimeout(() => this.#finish(), GOODBYE_MS).unref()
  }

  // Connections

  /** The supervisor wants the client's place for another. Whoever has come in meanwhile stays. */
  #evict(id: number): void {
    const session = this.#sessions.get(id)
    // One that is neither here nor arriving has ended by itself, and that is on its way to the supervisor.
    if (session === undefined) this.#arrivals.close(id, WHY.makesRoom)
    else if (!session.isNew) this.#outbox.tell({ kind: 'kept', id })
    else session.close(WHY.makesRoom, 'info')
  }

  #begin(arrived: Arrived): void {
    const { record } = arrived
    this.#sessions.set(record.id, new ClientSession(this, this, this, arrived))
    this.changed(record)
  }

  #ended(id: number, why: string, of: LogKind, state: ClientState, opened?: string): void {
    this.#outbox.tell({ kind: 'ended', id, why, of, state, opened })
    this.#finishIfEmpty()
  }

  #finishIfEmpty(): void {
    if (!this.#closing) return
    if (this.#sessions.size + this.#arrivals.size + this.leaving.size === 0) this.#finish()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#strangers.close()
    this.#outbox.flush()
    this.#gauges?.stop()
    this.clock.stop()
    this.polkit.close()
    this.sasl.close()
    this.#accounts.close()
    this.#daemons?.close()
    this.io.pipe.close()
    this.io.poller.close()
    this.#work.close()
    this.#finished()
  }
}
