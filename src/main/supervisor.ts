import { isIP } from 'node:net'
import { lookup } from 'node:dns/promises'
import type { ActorNews } from '../workers/control.js'
import { groupId } from '../workers/names/lookup.js'
import { FdLedger } from '../workers/os/fd-ledger.js'
import { close, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT } from '../workers/os/libc.js'
import { SOURCE } from '../workers/log.js'
import { Poller } from '../workers/os/poller.js'
import type { ActorSettings, AuthMethod, TransportKind } from '../workers/settings.js'
import { ActorPool } from './actor-pool.js'
import { ClientTable } from './admission.js'
import { ConfError, EXIT, UNKNOWN_NAME } from './config/grammar.js'
import { openedListeners } from './config/check.js'
import type { Config } from './config/load.js'
import { servicePort } from './config/port.js'
import { Listener, ListenError, listenTcp, listenUnix, type ListenerHandler, type ListenerKind } from '../workers/os/listener.js'
import { LEVEL } from './config/log-settings.js'
import type { Logger } from './logging.js'
import { NameService } from './name-service.js'
import { SaslService, SaslUnavailable } from './sasl-service.js'
import { TlsKeeper } from './tls/keeper.js'

/**
 * The main thread's part: it accepts connections, applies the limits and hands each client to an actor thread. It never
 * looks at a client's bytes.
 */
export class Supervisor implements ListenerHandler {
  readonly clients: ClientTable
  readonly #config: Config
  readonly #logger: Logger
  readonly #poller = new Poller()
  readonly #ledger = new FdLedger()
  readonly #listeners: Listener[] = []
  #pool: ActorPool | undefined
  #tls: TlsKeeper | undefined
  /** Reloads of the TLS files, one after the other. */
  #reloading: Promise<unknown> = Promise.resolve()
  /** One that has not begun: whoever wants another means this one. */
  #nextUpdate: Promise<void> | undefined
  #sasl: SaslService | undefined
  #names: NameService | undefined
  #ids = 0
  #paused = false
  /** Called when the number of clients goes to 0, and when it leaves it. */
  onIdle: (idle: boolean) => void = () => {}

  constructor(config: Config, logger: Logger) {
    this.#config = config
    this.clients = new ClientTable(config)
    this.#logger = logger
  }

  /** Starts the threads and binds all sockets; connections are taken from then on. Throws ConfError or ListenError. */
  async start(settings: ActorSettings): Promise<void> {
    this.#tls = await this.#startTls()
    const all = { ...settings, tls: this.#tls?.settings }
    await this.#startSasl()
    const handler = {
      news: (news: ActorNews) => this.#news(news),
      threadDied: (reason: string, lost: readonly number[]) => this.#threadDied(reason, lost)
    }
    const { actorThreads, actorMinClients } = this.#config
    this.#names = new NameService(this.#logger)
    const size = { threads: actorThreads, minClients: actorMinClients }
    this.#pool = new ActorPool(size, all, this.#ledger, handler, this.#names, this.#sasl)
    await this.#pool.started()
    this.#listenUnixSockets()
    const { listenTcp, tcpPort, authTcp, listenTls, tlsPort, authTls } = this.#config
    if (listenTcp) await this.#listenTcp(this.#kind('tcp', 'tcp', false, authTcp), tcpPort)
    if (listenTls) await this.#listenTcp(this.#kind('tls', 'tls', false, authTls), tlsPort)
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
   * Loads certificates and revocation list anew, for the connections that come from now on. Throws a ConfError, and
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
      throw new ConfError('internal error: no tls service found, unable to update tls files')
    }
    await this.#pool!.setTls(await this.#tls.reload())
    this.#logger.info(SOURCE.daemon, 'TLS files loaded anew')
  }

  async #startTls(): Promise<TlsKeeper | undefined> {
    const { tls, priority, tlsNoSanityCertificate, tlsNoVerifyCertificate, tlsAllowedDnList } = this.#config
    if (tls === undefined || priority === undefined) return undefined
    const options = {
      files: tls,
      priority,
      sanity: !tlsNoSanityCertificate,
      verify: !tlsNoVerifyCertificate,
      allowedNames: tlsAllowedDnList
    }
    const keeper = await TlsKeeper.start(options, this.#logger)
    if (this.#config.tlsWatchFiles) keeper.watch(() => void this.reload())
    return keeper
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners.splice(0)) listener.close()
    this.#tls?.close()
    await this.#pool?.close()
    this.#names?.stop()
    await this.#sasl?.stop()
    this.#poller.close()
  }

  /** The library is loaded only if a listener needs it. */
  async #startSasl(): Promise<void> {
    const [key] = openedListeners(this.#config).find(([, method]) => method === 'sasl') ?? []
    if (key === undefined) return
    try {
      this.#sasl = await SaslService.start()
    } catch (error) {
      if (!(error instanceof SaslUnavailable)) throw error
      throw new ConfError(`${key} = "sasl" needs libsasl2: ${error.message}`, EXIT.network)
    }
    this.#sasl.onRestart = why => {
      this.#logger.error(SOURCE.sasl, `the SASL thread died (${why}) and was replaced; logins in progress failed`)
      this.#pool?.reconnectSasl()
    }
  }

  // Listeners

  #listenUnixSockets(): void {
    const { sockets, maxQueuedClients, unixSockGroup, unixSockRwPerms, unixSockRoPerms } = this.#config
    const group = unixSockGroup === undefined ? undefined : groupId(unixSockGroup)
    if (unixSockGroup !== undefined && group === undefined) {
      throw new ConfError(`invalid argument: Failed to parse group '${unixSockGroup.replace(/^\+/, '')}'`, EXIT.network)
    }
    const readWrite = this.#kind('main', 'unix', false, this.#config.authUnixRw)
    this.#add(readWrite, sockets.main, listenUnix(sockets.main, unixSockRwPerms, group, maxQueuedClients))
    if (sockets.readOnly === undefined) return
    const readOnly = this.#kind('readonly', 'unix', true, this.#config.authUnixRo)
    this.#add(readOnly, sockets.readOnly, listenUnix(sockets.readOnly, unixSockRoPerms, group, maxQueuedClients))
  }

  /** As virtproxyd: addresses that are taken or not there are passed over as long as one can be bound. */
  async #listenTcp(kind: ListenerKind, service: string): Promise<void> {
    const { listenAddr, maxQueuedClients } = this.#config
    const port = await servicePort(service)
    let last: ListenError | undefined
    let bound = 0
    for (const ip of await addresses(listenAddr, service)) {
      try {
        this.#add(kind, ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`, listenTcp(ip, port, maxQueuedClients))
        bound++
      } catch (error) {
        if (!(error instanceof ListenError) || !PASSED_OVER.includes(error.errno)) throw error
        last = error
      }
    }
    if (bound === 0) throw last ?? unresolved(listenAddr, service, 'No address associated with hostname')
  }

  #kind(
    name: string,
    transport: TransportKind,
    readonly: boolean,
    auth: AuthMethod
  ): ListenerKind {
    return { name, transport, readonly, auth }
  }

  #add(kind: ListenerKind, place: string, fd: number): void {
    this.#listeners.push(new Listener(kind, place, fd, this.#poller, this))
    this.#logger.info(SOURCE.listener, `listening on ${place}`)
  }

  // Accepting

  mayAccept(): boolean {
    if (this.clients.hasRoom()) return true
    if (!this.#paused) {
      const { size, anonymous } = this.clients
      this.#logger.info(SOURCE.server, `${size} clients, ${anonymous} not authenticated: no more taken for now`)
    }
    this.#paused = true
    return false
  }

  accepted(listener: Listener, fd: number, peer: string | undefined): void {
    const { transport, readonly, auth } = listener.kind
    const id = ++this.#ids
    const refusal = this.clients.enter(id, listener.kind, fd, peer)
    if (refusal !== undefined) {
      close(fd)
      this.#logger.warn(SOURCE.server, `${peer ?? listener.place}: refused, ${refusal}`)
      return
    }
    if (this.clients.size === 1) this.onIdle(false)
    this.#pool!.hand({ id, fd, transport, peer, readonly, auth })
  }

  acceptedAll(): void {
    this.#pool!.flush()
  }

  trouble(listener: Listener, message: string): void {
    this.#logger.error(SOURCE.listener, `${listener.place}: ${message}`)
  }

  // News from the threads

  #news(news: ActorNews): void {
    if (news.kind === 'ended') this.#gone(news.id)
    else if (news.kind === 'authenticated') this.#authenticated(news.id)
    else this.#logger.log(LEVEL[news.level], news.source, news.message, news.about)
  }

  #threadDied(reason: string, lost: readonly number[]): void {
    this.#logger.error(SOURCE.server, `an actor thread died (${reason}); ${lost.length} clients are lost with it`)
    for (const id of lost) this.#gone(id)
  }

  #authenticated(id: number): void {
    this.clients.authenticated(id)
    this.#resume()
  }

  #gone(id: number): void {
    if (!this.clients.leave(id)) return
    if (this.clients.size === 0) this.onIdle(true)
    this.#resume()
  }

  #resume(): void {
    if (!this.#paused || !this.clients.hasRoom()) return
    this.#paused = false
    for (const listener of this.#listeners) listener.resume()
  }
}

const PASSED_OVER: readonly number[] = [EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT]

/** The numeric addresses to listen on; all of them if none is configured, or an asterisk is, as with getaddrinfo. */
async function addresses(listenAddr: string | undefined, service: string): Promise<string[]> {
  if (listenAddr === undefined || listenAddr === '*') return ['::', '0.0.0.0']
  if (isIP(listenAddr.split('%')[0]!) !== 0) return [listenAddr]
  try {
    const found = await lookup(listenAddr, { all: true })
    return found.map(({ address }) => address)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw unresolved(listenAddr, service, code === 'ENOTFOUND' ? UNKNOWN_NAME : message)
  }
}

const unresolved = (listenAddr: string | undefined, service: string, why: string): ListenError =>
  new ListenError(`Unable to resolve address '${listenAddr}' service '${service}': ${why}`, 0)
