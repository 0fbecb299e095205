import type { ActorNews } from '../../workers/thread/control.js'
import { peerCredentials } from '../../workers/os/accounts.js'
import { descriptorLimits, type DescriptorLimits } from '../../workers/os/descriptor-limits.js'
import { FdLedger } from '../../workers/os/fd-ledger.js'
import { ForeignCloser } from '../../workers/os/foreign-close.js'
import { LastHeard } from '../../workers/os/last-heard.js'
import { SOURCE } from '../../workers/base/log.js'
import { close } from '../../workers/os/libc.js'
import { Poller } from '../../workers/os/poller.js'
import type { Left } from '../../workers/thread/figures.js'
import type { AdminSocket } from '../admin/admin-socket.js'
import type { WatchedCalls } from '../admin/broker-program.js'
import { AuditInUse } from '../audit/audit-in-use.js'
import { ActorPool } from '../threads/actor-pool.js'
import { Admission, type AdmissionOwner } from '../clients/admission.js'
import { BoundedLog } from '../log/bounded-log.js'
import { openFiles, planDescriptors, type DescriptorPlan } from '../clients/descriptor-plan.js'
import { openedListeners } from '../config/check.js'
import type { Config } from '../config/load.js'
import type { MetricsPlace } from '../config/metrics-place.js'
import type { Listener, ListenerHandler } from '../../workers/os/listener.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import type { LifeControl } from './admin-control.js'
import { inTurn } from './in-turn.js'
import type { Logger } from '../log/logger.js'
import { Listeners } from '../listen/listeners.js'
import { listenerKind, type NetworkPlace } from '../listen/places.js'
import type { ListeningSockets } from '../listen/sockets.js'
import { BrokerCounters } from '../metrics/broker-counters.js'
import type { BrokerState } from '../metrics/broker-state.js'
import { METRICS_DESCRIPTORS } from '../metrics/limits.js'
import { LastSlowCalls } from '../threads/last-slow-calls.js'
import { NameService } from '../threads/name-service.js'
import { SessionDaemons } from '../threads/session-daemons.js'
import type { Drainable } from './drain.js'
import type { BrokerSettings } from './settings.js'
import { SettingsInUse, type SettingsUsers } from './settings-in-use.js'

/**
 * The main thread's part: it accepts connections, applies the limits and hands each client to an actor thread. It never
 * looks at a client's bytes.
 */
export class Supervisor implements Drainable, ListenerHandler {
  readonly #config: Config
  readonly #logger: Logger
  readonly #log: BoundedLog
  readonly #poller = new Poller()
  readonly #limits: DescriptorLimits
  readonly #closer: ForeignCloser
  readonly #lastHeard = new LastHeard()
  readonly #listeners: Listeners
  #inUse: SettingsInUse | undefined
  #pool: ActorPool | undefined
  #admission: Admission | undefined
  #admin: AdminSocket | undefined
  readonly #life: LifeControl
  readonly #state: BrokerState
  /** Descriptors that were open before the first client came. */
  #openAtStart = 0
  #names: NameService | undefined
  #daemons: SessionDaemons | undefined
  readonly #counters = new BrokerCounters()
  readonly #audit: AuditInUse
  readonly #slowCalls = new LastSlowCalls()
  #metrics: { close(): void } | undefined
  #takes = true
  /** While threads are told that clients are taken again. */
  #takesAgain: Promise<void> | undefined
  /** Nobody will be taken again. */
  #stopping = false
  /** Who waits for the end of the last client. */
  readonly #untilEmpty: (() => void)[] = []
  /** Called when the number of clients, those of the admin socket included, goes to 0, and when it leaves it. */
  onIdle: (idle: boolean) => void = () => {}

  constructor(config: Config, logger: Logger, life: LifeControl, state: BrokerState) {
    this.#state = state
    this.#life = life
    this.#config = config
    // This thread has its part as well.
    this.#limits = descriptorLimits(config.actorThreads + 1)
    this.#closer = new ForeignCloser(new FdLedger(), this.#limits.foreign)
    this.#logger = logger
    this.#audit = new AuditInUse(logger, this.#counters.counters)
    this.#log = new BoundedLog(logger, SOURCE.server, () => this.#counters.suppressed('limited'))
    logger.onSuppressed = why => this.#counters.suppressed(why)
    this.#listeners = new Listeners({
      poller: this.#poller,
      closer: this.#closer,
      logger,
      handlerOf: ({ name }) => (name === 'admin' ? this.#admin! : this),
      newKind: name => listenerKind(name, config)
    })
  }

  /**
   * Starts the threads, then takes connections from the sockets. `testDriverSocket`: where the embedded test driver
   * listens, if it does. Throws StartupError.
   */
  async start(settings: BrokerSettings, sockets: ListeningSockets, testDriverSocket: string | undefined): Promise<void> {
    (await this.#audit.prepare(settings.audit)).use([])
    const inUse = (this.#inUse = new SettingsInUse(settings, testDriverSocket, this.#settingsUsers()))
    await inUse.start()
    const handler = {
      news: (news: ActorNews) => this.#news(news),
      threadDied: (thread: number, reason: string) => this.#threadDied(thread, reason),
      threadStarted: () => {
        this.#admission?.admitted.threadStarted()
        this.#listeners.resume()
      }
    }
    const shared = { closer: this.#closer, lastHeard: this.#lastHeard }
    this.#names = new NameService(this.#logger)
    const { actorThreads: threads, metricsListen, threadModule: module } = this.#config
    const size = { threads, minClients: settings.minClients, metering: metricsListen !== undefined, module, limits: this.#limits }
    if (!this.#config.privileged) this.#daemons = new SessionDaemons(this.#config.paths.runDir, process.env, this.#logger)
    const helpers = { names: this.#names, audit: this.#audit, sasl: inUse.sasl, daemons: this.#daemons }
    this.#pool = new ActorPool(size, inUse.actorSettings, shared, handler, helpers)
    await this.#pool.started()
    this.#openAtStart = openFiles() + (metricsListen === undefined ? 0 : METRICS_DESCRIPTORS)
    this.#admission = new Admission(settings.limits, this.#planDescriptors(settings), this.#admissionOwner(this.#pool))
    if (settings.listening.listeners.has('admin')) this.#admin = await this.#makeAdminSocket(inUse, this.#pool, this.#admission)
    if (metricsListen !== undefined) this.#metrics = await this.#makeMetrics(metricsListen, inUse, this.#pool, this.#admission)
    this.#listeners.open(sockets.open())
  }

  /** How many there are, those included that are not in yet. */
  get clients(): number {
    return this.#admission?.clients.size ?? 0
  }

  get driverConnections(): number {
    return this.#pool?.driverConnections ?? 0
  }

  /** While clients are drained: what they wait for. Afterwards: what was cut off, or is about to be. */
  get left(): Left {
    return this.#pool?.left ?? { clients: 0, calls: 0, streams: 0 }
  }

  /** Nobody is connected, to the admin socket neither. */
  get isIdle(): boolean {
    return this.clients === 0 && (this.#admin?.clients.size ?? 0) === 0
  }

  /** Whether clients are served, or will be again: no thread hangs that cannot be replaced. */
  get healthy(): boolean {
    return this.#pool?.healthy ?? true
  }

  /** Goes on with other settings, see `SettingsInUse.apply`. */
  apply(settings: BrokerSettings, network: readonly NetworkPlace[] | undefined): Promise<void> {
    return this.#inUse!.apply(settings, network)
  }

  /** For a file of the audit that was renamed. */
  async reopenAudit(): Promise<void> {
    await this.#audit.reopen()
  }

  /** Does all of it, whatever fails, and never rejects. */
  async stop(): Promise<void> {
    const failed = (what: string, error: Error): void => this.#logger.log('stop-incomplete', SOURCE.daemon, `${what}: ${error.message}`)
    const listeners = this.#listeners.end()
    await inTurn(
      [
        ...listeners.map(listener => [`closing ${listener.place}`, () => listener.close()] as const),
        ['closing the metrics', () => this.#metrics?.close()],
        ['closing the admin socket', () => this.#admin?.close()],
        ['closing connections that wait', () => this.#admission?.close()],
        ['closing the TLS files', () => this.#inUse?.closeTls()],
        ['ending the actor threads', () => this.#pool?.close()],
        ['ending the name service', () => this.#names?.stop()],
        ['starting no more daemons', () => this.#daemons?.stop()],
        ['ending the SASL thread', () => this.#inUse?.sasl?.stop()],
        ['ending the audit', () => this.#audit.close()],
        ['closing the poller', () => this.#poller.close()]
      ],
      failed
    )
  }

  #settingsUsers(): SettingsUsers {
    return {
      logger: this.#logger,
      listeners: this.#listeners,
      useLimits: settings => {
        this.#admission!.apply(settings.limits, this.#planDescriptors(settings))
        this.#admin?.apply(settings.adminLimits)
      },
      useInThreads: (settings, minClients) => this.#pool!.apply(settings, minClients),
      prepareAudit: async place => {
        const audit = await this.#audit.prepare(place)
        return { use: () => audit.use(this.#admission!.admitted.in()), drop: () => audit.drop() }
      },
      useSasl: sasl => this.#pool?.useSasl(sasl)
    }
  }

  // Accepting

  /** Connections that come stay in the backlog. */
  takeNoMore(): void {
    this.#takes = false
    this.#takesAgain = undefined
    this.#refuse()
  }

  /** A thread that has not heard of it yet would close who comes. */
  takeAgain(): void {
    const again = this.#pool!.resume().then(() => {
      if (again !== this.#takesAgain) return
      this.#takes = true
      this.#listeners.resume()
    })
    this.#takesAgain = again
  }

  /** Nobody will be taken again: where no other process can ever do that, connections are refused as soon as none is taken. */
  finish(): void {
    this.#stopping = true
    this.#refuse()
  }

  #refuse(): void {
    if (!this.#takes && this.#stopping) this.#listeners.closeOwn()
  }

  seeOff(ms: number): void {
    this.#admission?.close()
    this.#pool?.drain(ms)
  }

  empty(): Promise<void> {
    return new Promise(resolve => (this.clients === 0 ? resolve() : this.#untilEmpty.push(resolve)))
  }

  mayAccept({ kind }: Listener): boolean {
    // Until there is a thread again they wait in the backlog.
    if (!this.#takes || !this.#pool!.takes) return false
    if (kind.transport === 'unix' && !this.#closer.hasRoom()) return this.#waitForRoom(kind)
    return this.#admission!.mayAccept(kind)
  }

  /** Connections over UNIX sockets that were refused cannot be closed as fast as they come. */
  #waitForRoom(kind: ListenerKind): false {
    const text = 'refused connections wait to be closed: no more taken over UNIX sockets for now'
    this.#log.log('closing-behind', 'closing', 1, () => text, { listener: kind.name })
    this.#closer.whenRoom(undefined, () => this.#mayAcceptAgain(kind))
    return false
  }

  accepted({ kind, place }: Listener, fd: number, peer: string | undefined): void {
    this.#counters.connected(kind)
    this.#admission!.accepted(kind, place, fd, peer)
  }

  acceptedAll(): void {
    this.#pool!.flush()
  }

  trouble({ kind, place }: Listener, message: string): void {
    this.#logger.log('listener-failed', SOURCE.listener, `${place}: ${message}`, { listener: kind.name })
  }

  #admissionOwner(pool: ActorPool): AdmissionOwner {
    const audit = this.#audit
    return {
      poller: this.#poller,
      lastHeard: this.#lastHeard,
      log: this.#log,
      threads: pool,
      get watcher() {
        return audit.records?.sessions
      },
      closeUnserved: (kind, fd) => this.#closeUnserved(kind, fd),
      mayAcceptAgain: kind => this.#mayAcceptAgain(kind),
      refused: reason => this.#counters.refused(reason),
      disconnect: client => void pool.questions.disconnect(client),
      idle: idle => this.#idle(idle)
    }
  }

  #idle(idle: boolean): void {
    this.onIdle(this.isIdle)
    if (idle) for (const resolve of this.#untilEmpty.splice(0)) resolve()
  }

  async #makeAdminSocket(live: SettingsInUse, pool: ActorPool, { admitted }: Admission): Promise<AdminSocket> {
    // By itself, and late: a process that may have few descriptors could not read all of its files at once.
    const { makeAdminSocket } = await import('./make-admin-socket.js')
    const host = {
      poller: this.#poller, ledger: this.#closer.ledger, log: this.#log, audit: this.#audit, idle: () => this.onIdle(this.isIdle)
    }
    const { all: clients, closed } = admitted
    const watched = await this.#watched(live, pool)
    const logger = this.#logger
    return makeAdminSocket(host, { clients, closed, threads: pool, names: this.#names!, logger, live, life: this.#life, watched })
  }

  async #watched(live: SettingsInUse, pool: ActorPool): Promise<WatchedCalls> {
    const { watchedCalls } = await import('./watched-calls.js')
    return watchedCalls(this.#slowCalls, pool, live, this.#config.metricsListen !== undefined)
  }

  async #makeMetrics(
    where: MetricsPlace, live: SettingsInUse, pool: ActorPool, admission: Admission
  ): Promise<{ close(): void } | undefined> {
    // By itself: where it is off nothing of it is loaded.
    const { makeMetrics } = await import('./make-metrics.js')
    const measured = {
      threads: pool,
      own: this.#counters.counters,
      state: this.#state,
      clients: {
        clients: admission.clients,
        waiting: () => admission.waiting,
        queues: () => this.#listeners.queues,
        limits: () => live.settings.limits
      },
      page: {
        clients: admission.clients,
        life: this.#life,
        watched: await this.#watched(live, pool)
      },
      access: {
        token: () => live.settings.metricsToken,
        wrong: () => this.#log.log('page-token-wrong', 'page-token-wrong', 1, () => 'the live page was asked for with a wrong token')
      },
      maxFds: this.#limits.own,
      listening: () => this.#listeners.forClients,
      settings: () => live.actorSettings
    }
    return makeMetrics(where, measured, this.#logger)
  }

  #mayAcceptAgain(kind: ListenerKind): void {
    if (this.#takes) this.#listeners.resume(kind)
  }

  /** What lies unread in a UNIX socket is closed with it, and that can take any time. */
  #closeUnserved({ transport }: ListenerKind, fd: number): void {
    const sender = transport === 'unix' ? peerCredentials(fd)?.uid : undefined
    if (sender === undefined) close(fd)
    else this.#closer.closeSocket(fd, sender)
  }

  #planDescriptors({ listening, limits: { maxClients } }: BrokerSettings): DescriptorPlan {
    const listeners = openedListeners(listening).length
    const limit = this.#limits.own
    const plan = planDescriptors({ limit, inUse: this.#openAtStart + listeners, listeners, maxClients })
    if (plan.short) {
      const allowed = `the limit of ${limit} open files allows ${plan.clients} clients, not ${maxClients} (max_clients)`
      const beyond = `each listener has ${plan.guaranteed} and root ${plan.root} beyond that, more are refused`
      this.#logger.log('descriptor-limit', SOURCE.daemon, `${allowed}; ${beyond}`)
    }
    return plan
  }

  // News from the threads

  #news(news: ActorNews): void {
    // A thread may have something to log before clients are admitted.
    const admitted = this.#admission?.admitted
    switch (news.kind) {
      case 'ended':
        this.#counters.gone(admitted?.all.get(news.id)?.at.kind, news.of, news.why)
        return admitted?.ended(news.id, news.why, news.state, news.opened)
      case 'refused':
        return admitted?.loginRefused(news.id, news.why, news.identity)
      case 'client':
        return admitted?.became(news)
      case 'peer':
        return this.#admission?.cameFrom(news.id, news.peer)
      case 'listener':
        return admitted?.countsAs(news.id, news.listener)
      case 'kept':
        return admitted?.kept(news.id)
      case 'slow':
        return this.#slowCalls.add(news.call)
      case 'log':
        return this.#logger.log(news.of, news.source, news.message, news.about)
    }
  }

  #threadDied(thread: number, reason: string): void {
    const clients = [...this.#admission?.clients.of(thread) ?? []]
    const lost = this.#admission?.admitted.threadDied(thread) ?? 0
    this.#counters.threadDied(clients.filter(({ id }) => this.#admission?.clients.get(id) === undefined).map(({ at }) => at.kind))
    this.#logger.log('thread-died', SOURCE.server, `an actor thread died (${reason}); ${lost} clients are lost with it`)
  }
}
