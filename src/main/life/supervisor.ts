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
import type { ActorSettings } from '../../workers/thread/settings.js'
import type { AdminSocket } from '../admin/admin-socket.js'
import { ActorPool } from '../threads/actor-pool.js'
import { Admission, type AdmissionOwner } from '../clients/admission.js'
import { BoundedLog } from '../log/bounded-log.js'
import { openFiles, planDescriptors, type DescriptorPlan } from '../clients/descriptor-plan.js'
import { openedListeners } from '../config/check.js'
import { StartupError } from '../config/startup-error.js'
import type { Config } from '../config/load.js'
import type { Listener, ListenerHandler } from '../../workers/os/listener.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { levelNames } from '../config/log-settings.js'
import type { EndControl, LiveSettings } from './admin-control.js'
import { inTurn } from './in-turn.js'
import type { Logger } from '../log/logger.js'
import { Listeners } from '../listen/listeners.js'
import { listenerKind, type NetworkPlace } from '../listen/places.js'
import type { ListeningSockets, OpenedSocket } from '../listen/sockets.js'
import { NameService } from '../threads/name-service.js'
import { SessionDaemons } from '../threads/session-daemons.js'
import { saslFor } from '../threads/sasl-use.js'
import type { SaslService } from '../threads/sasl-service.js'
import { TlsKeeper } from '../tls/keeper.js'
import { loadTlsAside } from '../tls/load-thread.js'
import type { Drainable } from './drain.js'
import type { BrokerSettings } from './settings.js'

/** A part of what is to change. All parts are prepared before one of them is used. */
interface Prepared {
  use(): void
  /** It is not used after all. */
  drop(): void
}

/**
 * The main thread's part: it accepts connections, applies the limits and hands each client to an actor thread. It never
 * looks at a client's bytes.
 */
export class Supervisor implements Drainable, ListenerHandler, LiveSettings {
  readonly #config: Config
  readonly #logger: Logger
  readonly #log: BoundedLog
  readonly #poller = new Poller()
  readonly #limits: DescriptorLimits
  readonly #closer: ForeignCloser
  readonly #lastHeard = new LastHeard()
  readonly #listeners: Listeners
  /** Replaced as a whole. There from the start on. */
  #settings!: BrokerSettings
  #testDriverSocket: string | undefined
  #pool: ActorPool | undefined
  #admission: Admission | undefined
  #admin: AdminSocket | undefined
  readonly #end: EndControl
  #tls: TlsKeeper | undefined
  /** What replaces settings or certificates, one after the other. */
  #changes: Promise<unknown> = Promise.resolve()
  #nextUpdate: Promise<void> | undefined
  /** Descriptors that were open before the first client came. */
  #openAtStart = 0
  #sasl: SaslService | undefined
  #names: NameService | undefined
  #daemons: SessionDaemons | undefined
  #takes = true
  /** Nobody will be taken again. */
  #stopping = false
  /** Who waits for the end of the last client. */
  readonly #untilEmpty: (() => void)[] = []
  /** Called when the number of clients, those of the admin socket included, goes to 0, and when it leaves it. */
  onIdle: (idle: boolean) => void = () => {}

  constructor(config: Config, logger: Logger, end: EndControl) {
    this.#end = end
    this.#config = config
    // This thread has its part as well.
    this.#limits = descriptorLimits(config.actorThreads + 1)
    this.#closer = new ForeignCloser(new FdLedger(), this.#limits.foreign)
    this.#logger = logger
    this.#log = new BoundedLog(logger, SOURCE.server)
    this.#listeners = new Listeners({
      poller: this.#poller,
      closer: this.#closer,
      logger,
      handlerOf: ({ name }) => (name === 'admin' ? this.#admin! : this)
    })
  }

  /**
   * Starts the threads, then takes connections from the sockets. `testDriverSocket`: where the embedded test driver
   * listens, if it does. Throws StartupError.
   */
  async start(settings: BrokerSettings, sockets: ListeningSockets, testDriverSocket: string | undefined): Promise<void> {
    this.#settings = settings
    this.#testDriverSocket = testDriverSocket
    await this.#startTls()
    this.#sasl = await this.#saslFor(settings)
    const handler = {
      news: (news: ActorNews) => this.#news(news),
      threadDied: (thread: number, reason: string) => this.#threadDied(thread, reason)
    }
    const { limits, minClients } = this.#settings
    const shared = { closer: this.#closer, lastHeard: this.#lastHeard }
    this.#names = new NameService(this.#logger)
    const { actorThreads: threads, metricsListen } = this.#config
    const size = { threads, minClients, counting: metricsListen !== undefined, limits: this.#limits }
    if (!this.#config.privileged) this.#daemons = new SessionDaemons(this.#config.paths.runDir, process.env, this.#logger)
    const helpers = { names: this.#names, sasl: this.#sasl, daemons: this.#daemons }
    this.#pool = new ActorPool(size, this.#actorSettings(), shared, handler, helpers)
    await this.#pool.started()
    this.#openAtStart = openFiles()
    this.#admission = new Admission(limits, this.#planDescriptors(), this.#admissionOwner(this.#pool))
    if (this.#settings.listening.listeners.has('admin')) this.#admin = await this.#makeAdminSocket(this.#pool, this.#admission)
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

  get settings(): BrokerSettings {
    return this.#settings
  }

  /**
   * Goes on with other settings, with all of them at once. `network`: where to listen, if that is ours to say. Rejects, and
   * has changed nothing, if they cannot be used.
   */
  apply(settings: BrokerSettings, network: readonly NetworkPlace[] | undefined): Promise<void> {
    return this.#afterOthers(async () => {
      const opened: OpenedSocket[] = []
      const prepared: Prepared[] = []
      try {
        prepared.push(await this.#prepareTls(settings))
        prepared.push(await this.#prepareSasl(settings))
        if (network !== undefined) prepared.push(this.#prepareNetwork(network, settings.backlog, opened))
        this.#logger.use(settings.log)
      } catch (error) {
        for (const part of prepared) part.drop()
        throw error
      }
      this.#settings = settings
      for (const part of prepared) part.use()
      this.#listeners.setBacklog(({ name }) => (name === 'admin' ? settings.adminBacklog : settings.backlog))
      this.#watchTls()
      this.#useLimits()
      try {
        await this.#pool!.apply(this.#actorSettings(), settings.minClients)
      } finally {
        // Not before the threads know what these clients need.
        this.#listeners.open(opened)
      }
    })
  }

  adjust(change: (now: BrokerSettings) => BrokerSettings): Promise<void> {
    return this.#afterOthers(async () => {
      const settings = change(this.#settings)
      this.#logger.use(settings.log)
      this.#settings = settings
      this.#useLimits()
      await this.#pool!.apply(this.#actorSettings(), settings.minClients)
    })
  }

  #useLimits(): void {
    this.#admission!.apply(this.#settings.limits, this.#planDescriptors())
    this.#admin?.apply(this.#settings.adminLimits)
  }

  /**
   * Loads certificates and revocation list anew, for the connections that come from now on. Rejects with StartupError,
   * and has changed nothing, if any of the files cannot be used.
   */
  async updateTls(): Promise<void> {
    // One that has not begun is as good for whoever asks meanwhile.
    this.#nextUpdate ??= this.#afterOthers(async () => {
      this.#nextUpdate = undefined
      if (this.#tls === undefined) throw new StartupError('internal error: no tls service found, unable to update tls files')
      const files = await this.#prepareTls(this.#settings)
      files.use()
      await this.#pool!.apply(this.#actorSettings(), this.#settings.minClients)
    })
    await this.#nextUpdate
  }

  #afterOthers(work: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(work)
    this.#changes = done.catch(() => undefined)
    return done
  }

  async #prepareTls({ tls: options }: BrokerSettings): Promise<Prepared> {
    const keeper = this.#tls
    const drop = (): void => undefined
    if (options === undefined) return { use: () => this.#closeTls(), drop }
    if (keeper === undefined) {
      const loaded = await loadTlsAside(options)
      return { use: () => void (this.#tls = new TlsKeeper(loaded, options, this.#logger)), drop }
    }
    try {
      const loaded = await keeper.load(options)
      const use = (): void => {
        keeper.use(loaded, options)
        this.#logger.info(SOURCE.daemon, 'TLS files loaded anew')
      }
      return { use, drop }
    } catch (error) {
      const why = (error as Error).message
      this.#logger.log('tls-files-kept', SOURCE.daemon, `TLS files not loaded anew, the old ones stay in use: ${why}`)
      throw error
    }
  }

  #closeTls(): void {
    this.#tls?.close()
    this.#tls = undefined
  }

  /** A listener may be the first that needs it. */
  async #prepareSasl(settings: BrokerSettings): Promise<Prepared> {
    const sasl = this.#sasl === undefined ? await this.#saslFor(settings) : undefined
    const use = (): void => {
      if (sasl !== undefined) this.#pool!.useSasl((this.#sasl = sasl))
    }
    return { use, drop: () => void sasl?.stop() }
  }

  #prepareNetwork(places: readonly NetworkPlace[], backlog: number, opened: OpenedSocket[]): Prepared {
    const change = this.#listeners.change(places, backlog, name => listenerKind(name, this.#config))
    const use = (): void => {
      this.#listeners.close(change.removed)
      opened.push(...change.added)
    }
    return { use, drop: () => change.undo() }
  }

  #actorSettings(): ActorSettings {
    return {
      ...this.#settings.actor,
      logLevel: levelNames[this.#logger.lowestLevel],
      testDriverSocket: this.#testDriverSocket,
      tls: this.#tls?.settings
    }
  }

  async #startTls(): Promise<void> {
    const { tls } = this.#settings
    if (tls === undefined) return
    this.#tls = await TlsKeeper.start(tls, this.#logger)
    this.#watchTls()
  }

  #watchTls(): void {
    this.#tls?.watch(this.#settings.watchTls ? () => void this.updateTls().catch(() => undefined) : undefined)
  }

  /** Does all of it, whatever fails, and never rejects. */
  async stop(): Promise<void> {
    const failed = (what: string, error: Error): void => this.#logger.log('stop-incomplete', SOURCE.daemon, `${what}: ${error.message}`)
    const listeners = this.#listeners.end()
    await inTurn(
      [
        ...listeners.map(listener => [`closing ${listener.place}`, () => listener.close()] as const),
        ['closing the admin socket', () => this.#admin?.close()],
        ['closing connections that wait', () => this.#admission?.close()],
        ['closing the TLS files', () => this.#closeTls()],
        ['ending the actor threads', () => this.#pool?.close()],
        ['ending the name service', () => this.#names?.stop()],
        ['starting no more daemons', () => this.#daemons?.stop()],
        ['ending the SASL thread', () => this.#sasl?.stop()],
        ['closing the poller', () => this.#poller.close()]
      ],
      failed
    )
  }

  async #saslFor({ listening }: BrokerSettings): Promise<SaslService | undefined> {
    const sasl = await saslFor(listening, (kind, message) => this.#logger.log(kind, SOURCE.sasl, message))
    if (sasl === undefined) return undefined
    sasl.onRestart = why => {
      const text = `the SASL thread died (${why}) and was replaced; logins in progress failed`
      this.#logger.log('sasl-thread-died', SOURCE.sasl, text)
      this.#pool?.useSasl(sasl)
    }
    return sasl
  }

  // Accepting

  /** Connections that come stay in the backlog. */
  takeNoMore(): void {
    this.#takes = false
    this.#refuse()
  }

  takeAgain(): void {
    this.#takes = true
    this.#pool!.resume()
    this.#listeners.resume()
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
    if (!this.#takes) return false
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
    this.#admission!.accepted(kind, place, fd, peer)
  }

  acceptedAll(): void {
    this.#pool!.flush()
  }

  trouble({ kind, place }: Listener, message: string): void {
    this.#logger.log('listener-failed', SOURCE.listener, `${place}: ${message}`, { listener: kind.name })
  }

  #admissionOwner(pool: ActorPool): AdmissionOwner {
    return {
      poller: this.#poller,
      lastHeard: this.#lastHeard,
      log: this.#log,
      threads: pool,
      closeUnserved: (kind, fd) => this.#closeUnserved(kind, fd),
      mayAcceptAgain: kind => this.#mayAcceptAgain(kind),
      idle: idle => this.#idle(idle)
    }
  }

  #idle(idle: boolean): void {
    this.onIdle(this.isIdle)
    if (idle) for (const resolve of this.#untilEmpty.splice(0)) resolve()
  }

  async #makeAdminSocket(pool: ActorPool, { clients }: Admission): Promise<AdminSocket> {
    // By itself, and late: a process that may have few descriptors could not read all of its files at once.
    const { makeAdminSocket } = await import('./make-admin-socket.js')
    const host = { poller: this.#poller, closer: this.#closer, log: this.#log, idle: () => this.onIdle(this.isIdle) }
    return makeAdminSocket(host, { clients, threads: pool, names: this.#names!, logger: this.#logger, live: this, end: this.#end })
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

  #planDescriptors(): DescriptorPlan {
    const { listening, limits: { maxClients } } = this.#settings
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
    const { admitted } = this.#admission!
    switch (news.kind) {
      case 'ended':
        return admitted.ended(news.id, news.state)
      case 'client':
        return admitted.became(news)
      case 'kept':
        return admitted.kept(news.id)
      case 'log':
        return this.#logger.log(news.of, news.source, news.message, news.about)
    }
  }

  #threadDied(thread: number, reason: string): void {
    const lost = this.#admission?.admitted.threadDied(thread) ?? 0
    this.#logger.log('thread-died', SOURCE.server, `an actor thread died (${reason}); ${lost} clients are lost with it`)
  }
}
