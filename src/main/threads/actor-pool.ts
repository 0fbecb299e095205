import { MessageChannel, receiveMessageOnPort, type MessagePort } from 'node:worker_threads'
import { transfer, wrap, type Remote } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { Piscina } from 'piscina'
import type { ActorControl, ActorNews, ActorTask, FromActor, ToActor } from '../../workers/thread/control.js'
import type { LastHeard } from '../../workers/os/last-heard.js'
import type { DescriptorLimits } from '../../workers/os/descriptor-limits.js'
import type { ForeignCloser } from '../../workers/os/foreign-close.js'
import type { Admission } from '../../workers/thread/admission.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import { SOURCE } from '../../workers/base/log.js'
import type { NameService } from './name-service.js'
import { placeFor } from './placement.js'
import type { SaslService } from './sasl-service.js'
import type { TlsSettings } from '../../workers/tls/tls-settings.js'

export interface ActorPoolHandler {
  news(news: ActorNews): void
  /** A thread died and is being replaced. `lost`: ids of its clients, which are gone with it. */
  threadDied(reason: string, lost: readonly number[]): void
}

export interface ActorPoolSize {
  threads: number
  /** A thread gets so many clients before the next one gets its first. */
  minClients: number
  /** For each thread. */
  limits: DescriptorLimits
}

/** One actor thread. Its number, from 1, is never used for another. */
export interface ActorThread {
  readonly number: number
  readonly control: Remote<ActorControl>
  readonly work: MessagePort
  /** What it has been handed and has not reported as ended, by id. */
  readonly clients: Map<number, Admission>
  /** Sent with the next `flush`. */
  outbox: ToActor
  alive: boolean
  /** As it says itself. */
  busy: boolean
  /** Gives it up while it waits for a worker of piscina's. */
  readonly unstarted: AbortController
}

/** Memory that the threads and the supervisor share. */
export interface SharedLedgers {
  readonly closer: ForeignCloser
  readonly lastHeard: LastHeard
}

/** How long threads may take to begin. */
const START_MS = 10_000
/** How long threads may take to close their clients. */
const SHUTDOWN_MS = 5000
/** How long threads may take to answer. */
const SET_TLS_MS = 5000
/** A thread that dies at once again and again is not replaced faster than this. */
const RESTART_PAUSE_MS = 500

/** The actor threads: piscina keeps them, each runs one task that lasts as long as the thread. */
export class ActorPool {
  readonly threads: ActorThread[] = []
  readonly #minClients: number
  readonly #limits: DescriptorLimits
  readonly #pool: Piscina
  #settings: ActorSettings
  readonly #closer: ForeignCloser
  readonly #lastHeard: LastHeard
  readonly #handler: ActorPoolHandler
  readonly #names: NameService
  readonly #sasl: SaslService | undefined
  /** One for each thread, which ends with it. */
  readonly #tasks = new Map<ActorThread, Promise<void>>()
  #numbers = 0
  #closing = false

  constructor(
    { threads, minClients, limits }: ActorPoolSize,
    settings: ActorSettings,
    { closer, lastHeard }: SharedLedgers,
    handler: ActorPoolHandler,
    names: NameService,
    sasl: SaslService | undefined
  ) {
    this.#minClients = minClients
    this.#limits = limits
    this.#settings = settings
    this.#closer = closer
    this.#lastHeard = lastHeard
    this.#handler = handler
    this.#names = names
    this.#sasl = sasl
    this.#pool = new Piscina({
      filename: new URL('../../workers/actor/actor-thread.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Infinity,
      // With atomics a thread sleeps between tasks and runs no event loop.
      atomics: 'disabled',
      recordTiming: false,
      // Left alone, V8 lets a thread's youngest objects grow to 48 MB before it looks at them: most of what an idle
      // client would seem to cost.
      resourceLimits: { maxYoungGenerationSizeMb: 6 }
    })
    this.#pool.on('error', (error: Error) => this.#cannotStart(error))
    for (let i = 0; i < threads; i++) this.#start()
  }

  /** Resolves when each thread serves, or has ended: who is let in before would wait for them. */
  async started(): Promise<void> {
    const started = this.threads.map(thread => Promise.race([thread.control.clients(), this.#tasks.get(thread)]))
    await atMost(START_MS, Promise.all(started))
  }

  /** Puts a connection into the outbox of a thread. `flush` sends it. */
  hand(admission: Admission): void {
    const thread = placeFor(this.threads, this.#minClients)
    if (thread === undefined) {
      this.#closer.closeSocket(admission.fd)
      this.#handler.news({ kind: 'ended', id: admission.id, why: 'no actor thread' })
      return
    }
    this.#closer.ledger.give(admission.fd, thread.number)
    this.#lastHeard.begin(admission.fd)
    thread.clients.set(admission.id, admission)
    thread.outbox.admissions.push(admission)
  }

  /** Has a client closed that is still not in. `flush` sends it. */
  evict(id: number): void {
    this.threads.find(({ clients }) => clients.has(id))?.outbox.evictions.push(id)
  }

  flush(): void {
    for (const thread of this.threads) {
      const { admissions, evictions } = thread.outbox
      if (admissions.length === 0 && evictions.length === 0) continue
      thread.work.postMessage(thread.outbox)
      thread.outbox = { admissions: [], evictions: [] }
    }
  }

  /** For connections that come from now on, in all threads. Resolves when all of them know. */
  async setTls(tls: TlsSettings): Promise<void> {
    this.#settings = { ...this.#settings, tls }
    // A thread that dies before it answers never does; the one that replaces it begins with these settings.
    await atMost(SET_TLS_MS, Promise.all(this.threads.map(({ control }) => control.setTls(tls))))
  }

  /** The SASL thread was replaced. */
  reconnectSasl(): void {
    for (const { control } of this.threads) {
      const port = this.#sasl!.connect()
      void control.useSasl(transfer(port, [port]))
    }
  }

  /** Closes all clients, then the threads. */
  async close(): Promise<void> {
    this.#closing = true
    for (const thread of this.threads) void thread.control.shutdown()
    // Not the pool's own close: that one ends threads which are still starting, and koffi aborts the process then.
    await atMost(SHUTDOWN_MS, Promise.allSettled(this.#tasks.values()))
    if (this.#tasks.size > 0) {
      const message = `${this.#tasks.size} threads still had clients after ${SHUTDOWN_MS / 1000} s`
      this.#handler.news({ kind: 'log', level: 'error', source: SOURCE.server, message, about: undefined })
    }
    await this.#pool.destroy()
  }

  #start(): void {
    const number = ++this.#numbers
    const work = new MessageChannel()
    const control = new MessageChannel()
    const task: ActorTask = {
      number,
      settings: this.#settings,
      ledger: this.#closer.ledger.shared,
      limits: this.#limits,
      lastHeard: this.#lastHeard.shared,
      work: work.port2,
      names: this.#names.connect(),
      sasl: this.#sasl?.connect(),
      control: control.port2
    }
    const thread: ActorThread = {
      number,
      control: wrap<ActorControl>(nodeEndpoint(control.port1)),
      work: work.port1,
      clients: new Map(),
      outbox: { admissions: [], evictions: [] },
      alive: true,
      busy: false,
      unstarted: new AbortController()
    }
    work.port1.on('message', (news: FromActor) => this.#told(thread, news))
    this.threads.push(thread)
    const ports = [task.work, task.control, task.names, ...(task.sasl === undefined ? [] : [task.sasl])]
    const ended = this.#pool.run(task, { transferList: ports, signal: thread.unstarted.signal }).then(
      () => this.#ended(thread, 'its task ended'),
      (error: unknown) => {
        // Those that never went to the thread.
        for (const port of ports) port.close()
        const { signal } = thread.unstarted
        this.#ended(thread, signal.aborted ? String(signal.reason) : error instanceof Error ? error.message : String(error))
      }
    )
    this.#tasks.set(thread, ended)
    void ended.finally(() => this.#tasks.delete(thread))
  }

  #told(thread: ActorThread, news: FromActor): void {
    for (const item of news) {
      if (item.kind === 'ended') thread.clients.delete(item.id)
      if (item.kind === 'busy') thread.busy = item.busy
      else this.#handler.news(item)
    }
  }

  /**
   * A worker failed before it had a task: there was no descriptor for it, perhaps. The tasks that wait, which are the
   * newest, would wait for ever, and clients with them: piscina starts no other worker until it gets a task.
   */
  #cannotStart(error: Error): void {
    const waiting = this.#pool.queueSize
    for (const { unstarted } of this.threads.slice(this.threads.length - waiting)) unstarted.abort(error.message)
  }

  /** Connections that the thread had not taken up yet go to another; the rest died with it. */
  #ended(thread: ActorThread, reason: string): void {
    thread.alive = false
    // The end of its task comes another way than its last news, and may overtake them.
    for (let last; (last = receiveMessageOnPort(thread.work)) !== undefined; ) this.#told(thread, last.message as FromActor)
    thread.work.close()
    this.threads.splice(this.threads.indexOf(thread), 1)
    if (this.#closing) return
    const { number } = thread
    // A descriptor's number may stand here twice: the older client has ended, and the news of it did not come through.
    const byFd = new Map([...thread.clients.values()].map(admission => [admission.fd, admission]))
    const waiting = [...byFd.values()].filter(({ fd }) => this.#closer.ledger.isGiven(fd, number))
    const handedAgain = new Set(waiting)
    const lost = [...thread.clients.values()].filter(client => !handedAgain.has(client)).map(({ id }) => id)
    this.#closer.closeAllOf(number)
    this.#handler.threadDied(reason, lost)
    if (this.threads.length > 0 || thread.unstarted.signal.aborted) setTimeout(() => this.#replace(), RESTART_PAUSE_MS).unref()
    else this.#start()
    for (const admission of waiting) this.hand(admission)
    this.flush()
  }

  #replace(): void {
    if (!this.#closing) this.#start()
  }
}

/** The work goes on after that, but nobody waits for it. */
async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, new Promise(resolve => setTimeout(resolve, ms).unref())])
}
