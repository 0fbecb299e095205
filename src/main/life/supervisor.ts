import type { ActorNews } from '../../workers/thread/control.js'
import { peerCredentials } from '../../workers/os/accounts.js'
import { descriptorLimits, type DescriptorLimits } from '../../workers/os/descriptor-limits.js'
import { FdLedger } from '../../workers/os/fd-ledger.js'
import { ForeignCloser } from '../../workers/os/foreign-close.js'
import { LastHeard } from '../../workers/os/last-heard.js'
import { SOURCE } from '../../workers/base/log.js'
import { close } from '../../workers/os/libc.js'
import { Poller } from '../../workers/os/poller.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import { ActorPool } from '../threads/actor-pool.js'
import { Admission, type AdmissionOwner } from '../clients/admission.js'
import { BoundedLog } from '../log/bounded-log.js'
import { openFiles, planDescriptors, type DescriptorPlan } from '../clients/descriptor-plan.js'
import { openedListeners } from '../config/check.js'
import { StartupError } from '../config/startup-error.js'
import type { Config } from '../config/load.js'
import { Listener, type ListenerHandler } from '../../workers/os/listener.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { LEVEL } from '../config/log-settings.js'
import { inTurn } from './in-turn.js'
import type { Logger } from '../log/logger.js'
import { ClosedDoor } from '../listen/closed-door.js'
import type { ListeningSockets } from '../listen/sockets.js'
import { NameService } from '../threads/name-service.js'
import { saslFor } from '../threads/sasl-use.js'
import type { SaslService } from '../threads/sasl-service.js'
import { TlsKeeper } from '../tls/keeper.js'
import { tlsOptions } from '../tls/options.js'

/**
 * The main thread's part: it accepts connections, applies the limits and hands each client to an actor thread. It never
 * looks at a client's bytes.
 */
export class Supervisor implements ListenerHandler {
  readonly #config: Config
  readonly #logger: Logger
  readonly #log: BoundedLog
  readonly #poller = new Poller()
  readonly #limits: DescriptorLimits
  readonly #closer: ForeignCloser
  readonly #lastHeard = new LastHeard()
  readonly #listeners: Listener[] = []
  #pool: ActorPool | undefined
  #admission: Admission | undefined
  #tls: TlsKeeper | undefined
  /** Reloads of the TLS files, one after the other. */
  #reloading: Promise<unknown> = Promise.resolve()
  /** One that has not begun: whoever wants another means this one. */
  #nextUpdate: Promise<void> | undefined
  #sasl: SaslService | undefined
  #names: NameService | undefined
  #takes = true
  /** Called when the number of clients goes to 0, and when it leaves it. */
  onIdle: (idle: boolean) => void = () => {}

  constructor(config: Config, logger: Logger) {
    this.#config = config
    // This thread has its part as well.
    this.#limits = descriptorLimits(config.actorThreads + 1)
    this.#closer = new ForeignCloser(new FdLedger(), this.#limits.foreign)
    this.#logger = logger
    this.#log = new BoundedLog(logger, SOURCE.server)
  }

  /** Starts the threads, then takes connections from the sockets. Throws StartupError. */
  async start(settings: ActorSettings, sockets: ListeningSockets): Promise<void> {
    this.#tls = await this.#startTls()
    const all = { ...settings, tls: this.#tls?.settings }
    await this.#startSasl()
    const handler = {
      news: (news: ActorNews) => this.#news(news),
      threadDied: (thread: number, reason: string) => this.#threadDied(thread, reason)
    }
    const { actorThreads, actorMinClients } = this.#config
    const shared = { closer: this.#closer, lastHeard: this.#lastHeard }
    this.#names = new NameService(this.#logger)
    const size = { threads: actorThreads, minClients: actorMinClients, limits: this.#limits }
    this.#pool = new ActorPool(size, all, shared, handler, this.#names, this.#sasl)
    await this.#pool.started()
    this.#admission = new Admission(this.#config, this.#planDescriptors(), this.#admissionOwner(this.#pool))
    for (const { kind, socket } of sockets.open()) {
      const handler = kind.name === 'admin' ? new ClosedDoor(this.#closer, this.#log) : this
      this.#listeners.push(new Listener(kind, socket, this.#poller, this.#closer, handler))
      this.#logger.info(SOURCE.listener, `listening on ${socket.place}`)
    }
  }

  /** How many there are, those included that are not in yet. */
  get clients(): number {
    return this.#admission?.clients.size ?? 0
  }

  /** Whether clients are served, or will be again: no thread hangs that cannot be replaced. */
  get healthy(): boolean {
    return this.#pool?.healthy ?? true
  }

  /** What SIGHUP asks for. What cannot be loaded is logged, and the old goes on being used. */
  async reload(): Promise<void> {
    if (this.#tls === undefined) return this.#logger.info(SOURCE.daemon, 'nothing to reload')
    try {
      await this.updateTls()
    } catch (error) {
      this.#logger.error(SOURCE.daemon, `TLS files not loaded anew, the old ones stay in use: ${(error as Error).message}`)
    }
  }

  /**
   * Loads certificates and revocation list anew, for the connections that come from now on. Throws a StartupError, and
   * changes nothing, if any of the files cannot be used.
   */
  async updateTls(): Promise<void> {
    this.#nextUpdate ??= this.#reloading.then(() => {
      this.#nextUpdate = undefined
      return this.#updateTls()
    })
    const update = this.#nextUpdate
    this.#reloading = update.catch(() => undefined)
    await update
  }

  async #updateTls(): Promise<void> {
    if (this.#tls === undefined) {
      throw new StartupError('internal error: no tls service found, unable to update tls files')
    }
    await this.#pool!.setTls(await this.#tls.reload())
    this.#logger.info(SOURCE.daemon, 'TLS files loaded anew')
  }

  async #startTls(): Promise<TlsKeeper | undefined> {
    const options = tlsOptions(this.#config)
    if (options === undefined) return undefined
    const keeper = await TlsKeeper.start(options, this.#logger)
    if (this.#config.tlsWatchFiles) keeper.watch(() => void this.reload())
    return keeper
  }

  /** Does all of it, whatever fails, and never rejects. */
  async stop(): Promise<void> {
    const failed = (what: string, error: Error): void => this.#logger.error(SOURCE.daemon, `${what}: ${error.message}`)
    const listeners = this.#listeners.splice(0)
    await inTurn(
      [
        ...listeners.map(listener => [`closing ${listener.place}`, () => listener.close()] as const),
        ['closing connections that wait', () => this.#admission?.close()],
        ['closing the TLS files', () => this.#tls?.close()],
        ['ending the actor threads', () => this.#pool?.close()],
        ['ending the name service', () => this.#names?.stop()],
        ['ending the SASL thread', () => this.#sasl?.stop()],
        ['closing the poller', () => this.#poller.close()]
      ],
      failed
    )
  }

  async #startSasl(): Promise<void> {
    this.#sasl = await saslFor(this.#config, (level, message) => this.#logger.log(LEVEL[level], SOURCE.sasl, message))
    if (this.#sasl === undefined) return
    this.#sasl.onRestart = why => {
      this.#logger.error(SOURCE.sasl, `the SASL thread died (${why}) and was replaced; logins in progress failed`)
      this.#pool?.reconnectSasl()
    }
  }

  // Accepting

  /** Connections that come stay in the backlog. */
  takeNoMore(): void {
    this.#takes = false
  }

  takeAgain(): void {
    this.#takes = true
    for (const listener of this.#listeners) listener.resume()
  }

  mayAccept({ kind }: Listener): boolean {
    if (!this.#takes) return false
    if (kind.transport === 'unix' && !this.#closer.hasRoom()) return this.#waitForRoom(kind)
    return this.#admission!.mayAccept(kind)
  }

  /** Connections over UNIX sockets that were refused cannot be closed as fast as they come. */
  #waitForRoom(kind: ListenerKind): false {
    this.#log.warn('closing', 1, () => 'refused connections wait to be closed: no more taken over UNIX sockets for now')
    this.#closer.whenRoom(undefined, () => this.#mayAcceptAgain(kind))
    return false
  }

  accepted({ kind, place }: Listener, fd: number, peer: string | undefined): void {
    this.#admission!.accepted(kind, place, fd, peer)
  }

  acceptedAll(): void {
    this.#pool!.flush()
  }

  trouble(listener: Listener, message: string): void {
    this.#logger.error(SOURCE.listener, `${listener.place}: ${message}`)
  }

  #admissionOwner(pool: ActorPool): AdmissionOwner {
    return {
      poller: this.#poller,
      lastHeard: this.#lastHeard,
      log: this.#log,
      threads: pool,
      closeUnserved: (kind, fd) => this.#closeUnserved(kind, fd),
      mayAcceptAgain: kind => this.#mayAcceptAgain(kind),
      idle: idle => this.onIdle(idle)
    }
  }

  #mayAcceptAgain(kind: ListenerKind): void {
    if (!this.#takes) return
    for (const listener of this.#listeners) if (listener.kind === kind) listener.resume()
  }

  /** What lies unread in a UNIX socket is closed with it, and that can take any time. */
  #closeUnserved({ transport }: ListenerKind, fd: number): void {
    const sender = transport === 'unix' ? peerCredentials(fd)?.uid : undefined
    if (sender === undefined) close(fd)
    else this.#closer.closeSocket(fd, sender)
  }

  #planDescriptors(): DescriptorPlan {
    const { maxClients } = this.#config
    const listeners = openedListeners(this.#config).length
    const limit = this.#limits.own
    const plan = planDescriptors({ limit, inUse: openFiles() + listeners, listeners, maxClients })
    if (plan.short) {
      const allowed = `the limit of ${limit} open files allows ${plan.clients} clients, not ${maxClients} (max_clients)`
      const beyond = `each listener has ${plan.guaranteed} and root ${plan.root} beyond that, more are refused`
      this.#logger.warn(SOURCE.daemon, `${allowed}; ${beyond}`)
    }
    return plan
  }

  // News from the threads

  #news(news: ActorNews): void {
    const admission = this.#admission!
    switch (news.kind) {
      case 'ended':
        return admission.ended(news.id, news.state)
      case 'client':
        return admission.became(news)
      case 'kept':
        return admission.kept(news.id)
      case 'log':
        return this.#logger.log(LEVEL[news.level], news.source, news.message, news.about)
    }
  }

  #threadDied(thread: number, reason: string): void {
    const lost = this.#admission?.threadDied(thread) ?? 0
    this.#logger.error(SOURCE.server, `an actor thread died (${reason}); ${lost} clients are lost with it`)
  }
}
