import { isIP } from 'node:net'
import { lookup } from 'node:dns/promises'
import type { ActorNews } from '../workers/control.js'
import { groupId } from '../workers/os/accounts.js'
import { FdLedger } from '../workers/os/fd-ledger.js'
import { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT } from '../workers/os/libc.js'
import { Poller } from '../workers/os/poller.js'
import type { ActorSettings, AuthMethod, TransportKind } from '../workers/settings.js'
import { ActorPool } from './actor-pool.js'
import { ConfError, EXIT } from './config/grammar.js'
import { AVAILABLE_AUTH, type Config } from './config/load.js'
import { Listener, ListenError, listenTcp, listenUnix, type ListenerHandler, type ListenerKind } from './listener.js'
import { LEVEL } from './config/log-settings.js'
import type { Logger } from './logging.js'
import { servicePort } from './service-port.js'

interface Client {
  listener: string
  /** TCP peer, or undefined for a UNIX client. */
  peer: string | undefined
  since: number
  /** Has still to authenticate. */
  anonymous: boolean
}

/**
 * The main thread's part: it accepts connections, applies the limits and hands each client to an actor thread. It never
 * looks at a client's bytes.
 */
export class Supervisor implements ListenerHandler {
  readonly clients = new Map<number, Client>()
  readonly #config: Config
  readonly #logger: Logger
  readonly #poller = new Poller()
  readonly #ledger = new FdLedger()
  readonly #listeners: Listener[] = []
  #pool: ActorPool | undefined
  #ids = 0
  #anonymous = 0
  #paused = false
  /** Called when the number of clients goes to 0, and when it leaves it. */
  onIdle: (idle: boolean) => void = () => {}

  constructor(config: Config, logger: Logger) {
    this.#config = config
    this.#logger = logger
  }

  /** Binds all sockets and starts the threads; connections are taken from then on. Throws ConfError or ListenError. */
  async start(settings: ActorSettings): Promise<void> {
    this.#pool = new ActorPool(this.#config.actorThreads, settings, this.#ledger, {
      news: news => this.#news(news),
      threadDied: (reason, lost) => this.#threadDied(reason, lost)
    })
    this.#listenUnixSockets()
    if (this.#config.listenTcp) await this.#listenTcp()
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners.splice(0)) listener.close()
    await this.#pool?.close()
    this.#poller.close()
  }

  get places(): string[] {
    return this.#listeners.map(listener => listener.place)
  }

  // Listeners

  #listenUnixSockets(): void {
    const { sockets, maxQueuedClients, unixSockGroup, unixSockRwPerms, unixSockRoPerms } = this.#config
    const group = unixSockGroup === undefined ? undefined : groupId(unixSockGroup)
    if (unixSockGroup !== undefined && group === undefined) {
      throw new ConfError(`Failed to find group record for name '${unixSockGroup}'`, EXIT.network)
    }
    const readWrite = this.#kind('main', 'unix', false, this.#config.authUnixRw, 'auth_unix_rw')
    this.#add(readWrite, sockets.main, listenUnix(sockets.main, unixSockRwPerms, group, maxQueuedClients))
    if (sockets.readOnly === undefined) return
    const readOnly = this.#kind('readonly', 'unix', true, this.#config.authUnixRo, 'auth_unix_ro')
    this.#add(readOnly, sockets.readOnly, listenUnix(sockets.readOnly, unixSockRoPerms, group, maxQueuedClients))
  }

  /** As virtproxyd: addresses that are taken or not there are passed over as long as one can be bound. */
  async #listenTcp(): Promise<void> {
    const { listenAddr, tcpPort, maxQueuedClients } = this.#config
    const kind = this.#kind('tcp', 'tcp', false, this.#config.authTcp, 'auth_tcp')
    const port = await servicePort(tcpPort)
    let last: ListenError | undefined
    let bound = 0
    for (const ip of await addresses(listenAddr)) {
      try {
        this.#add(kind, ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`, listenTcp(ip, port, maxQueuedClients))
        bound++
      } catch (error) {
        if (!(error instanceof ListenError) || !PASSED_OVER.includes(error.errno)) throw error
        last = error
      }
    }
    if (bound === 0) throw last ?? new ListenError(`Unable to resolve address '${listenAddr}'`, 0)
  }

  #kind(
    name: string,
    transport: TransportKind,
    readonly: boolean,
    auth: AuthMethod,
    key: string
  ): ListenerKind {
    if (AVAILABLE_AUTH.includes(auth)) return { name, transport, readonly, auth }
    const available = AVAILABLE_AUTH.map(method => `"${method}"`).join(', ')
    throw new ConfError(`${key}: authentication "${auth}" is not available yet (available: ${available})`, EXIT.network)
  }

  #add(kind: ListenerKind, place: string, fd: number): void {
    this.#listeners.push(new Listener(kind, place, fd, this.#poller, this))
    this.#logger.info('listener', `listening on ${place}`)
  }

  // Accepting

  mayAccept(): boolean {
    if (this.#hasRoom()) return true
    if (!this.#paused) {
      const { size } = this.clients
      this.#logger.info('admission', `${size} clients, ${this.#anonymous} not authenticated: no more taken for now`)
    }
    this.#paused = true
    return false
  }

  #hasRoom(): boolean {
    const { maxClients, maxAnonymousClients } = this.#config
    return this.clients.size < maxClients && (maxAnonymousClients === 0 || this.#anonymous < maxAnonymousClients)
  }

  accepted(listener: Listener, fd: number, peer: string | undefined): void {
    const id = ++this.#ids
    const { transport, readonly, auth, name } = listener.kind
    const anonymous = auth !== 'none'
    if (anonymous) this.#anonymous++
    this.clients.set(id, { listener: name, peer, since: Date.now(), anonymous })
    if (this.clients.size === 1) this.onIdle(false)
    this.#pool!.hand({ id, fd, transport, readonly, auth })
  }

  acceptedAll(): void {
    this.#pool!.flush()
  }

  trouble(listener: Listener, message: string): void {
    this.#logger.error('listener', `${listener.place}: ${message}`)
  }

  // News from the threads

  #news(news: ActorNews): void {
    if (news.kind === 'ended') this.#gone(news.id)
    else if (news.kind === 'authenticated') this.#authenticated(news.id)
    else this.#logger.log(LEVEL[news.level], news.source, news.message)
  }

  #threadDied(reason: string, lost: readonly number[]): void {
    this.#logger.error('actors', `an actor thread died (${reason}); ${lost.length} clients are lost with it`)
    for (const id of lost) this.#gone(id)
  }

  #authenticated(id: number): void {
    const client = this.clients.get(id)
    if (client?.anonymous !== true) return
    client.anonymous = false
    this.#anonymous--
    this.#resume()
  }

  #gone(id: number): void {
    this.#authenticated(id)
    if (!this.clients.delete(id)) return
    if (this.clients.size === 0) this.onIdle(true)
    this.#resume()
  }

  #resume(): void {
    if (!this.#paused || !this.#hasRoom()) return
    this.#paused = false
    for (const listener of this.#listeners) listener.resume()
  }
}

const PASSED_OVER: readonly number[] = [EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT]

/** The numeric addresses to listen on; all of them if none is configured. */
async function addresses(listenAddr: string | undefined): Promise<string[]> {
  if (listenAddr === undefined || listenAddr === '') return ['::', '0.0.0.0']
  if (isIP(listenAddr.split('%')[0]!) !== 0) return [listenAddr]
  try {
    const found = await lookup(listenAddr, { all: true })
    return found.map(({ address }) => address)
  } catch (error) {
    throw new ListenError(`Unable to resolve address '${listenAddr}': ${(error as Error).message}`, 0)
  }
}
