import { setFlagsFromString } from 'node:v8'
import { transfer } from 'comlink'
import { Piscina } from 'piscina'
import type { ActorNews } from '../../workers/thread/control.js'
import type { LastHeard } from '../../workers/os/last-heard.js'
import type { DescriptorLimits } from '../../workers/os/descriptor-limits.js'
import type { ForeignCloser } from '../../workers/os/foreign-close.js'
import type { HandOver } from '../../workers/thread/client-record.js'
import type { Figures, Left } from '../../workers/thread/figures.js'
import type { AuditProduct } from '../../workers/thread/audit.js'
import type { AuditWindow } from '../../workers/thread/audit-window.js'
import type { ActorSettings } from '../../workers/thread/settings.js'
import { Counters } from '../../workers/thread/counters.js'
import { SOURCE } from '../../workers/base/log.js'
import type { MessageKind } from '../../workers/base/log-kinds.js'
import { ActorThread } from './actor-thread.js'
import { StartupError } from '../config/startup-error.js'
import { HangWatch } from './hang-watch.js'
import { Keeper, type Kept } from './keeper.js'
import type { NameService } from './name-service.js'
import { placeFor } from './placement.js'
import { ThreadQuestions } from './thread-questions.js'
import { ThreadSlots, type ThreadBounds } from './thread-slots.js'
import type { SaslService } from './sasl-service.js'
import type { SessionDaemons } from './session-daemons.js'
import { within } from './within.js'

export interface ActorPoolHandler {
  news(news: ActorNews): void
  /** A thread died and is being replaced. Its clients are to be given to others, or up. */
  threadDied(thread: number, reason: string): void
  /** There is one more that can be given clients. */
  threadStarted(): void
}

/** Where the threads' records of the audit go. */
export interface AuditIntake {
  readonly product: AuditProduct
  /** For a thread that begins. */
  join(): AuditWindow
  take(lines: readonly string[], from: AuditWindow): void
  /** It has ended. */
  leave(window: AuditWindow): void
}

/** What the threads are led to when they are started. */
export interface ActorHelpers {
  readonly names: NameService
  readonly audit: AuditIntake
  readonly sasl: SaslService | undefined
  readonly daemons: SessionDaemons | undefined
}

export interface ActorPoolSize {
  threads: number
  /** A thread gets so many clients before the next one gets its first. */
  minClients: number
  /** Whether calls are counted. */
  metering: boolean
  /** Path of a module that each loads. */
  module?: string | undefined
  /** For each thread. */
  limits: DescriptorLimits
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
const APPLY_MS = 5000
/** A thread that dies at once again and again is not replaced faster than this. */
const RESTART_PAUSE_MS = 500
const LOOK_MS = 1000
const HANGS = 'its event loop had not turned for ten seconds'

/** The actor threads: piscina keeps them, each runs one task that lasts as long as the thread. */
export class ActorPool {
  readonly threads: ActorThread[] = []
  readonly questions: ThreadQuestions
  #minClients: number
  readonly #limits: DescriptorLimits
  readonly #pool: Piscina
  #settings: ActorSettings
  readonly #closer: ForeignCloser
  readonly #lastHeard: LastHeard
  readonly #handler: ActorPoolHandler
  #helpers: ActorHelpers
  readonly #slots: ThreadSlots<ActorThread>
  /** What the threads have counted, those that are gone included. */
  readonly counters: readonly Counters[]
  readonly #metering: boolean
  readonly #module: string | undefined
  readonly #hangs = new HangWatch<ActorThread>()
  readonly #looking: NodeJS.Timeout
  #numbers = 0
  /** A thread could not be ended. */
  #stuck = false
  /** When the time of those who are drained is over; undefined while clients are served. */
  #drainedBy: number | undefined

  constructor(
    { threads, minClients, metering, module, limits }: ActorPoolSize,
    settings: ActorSettings,
    { closer, lastHeard }: SharedLedgers,
    handler: ActorPoolHandler,
    helpers: ActorHelpers
  ) {
    this.#minClients = minClients
    this.#limits = limits
    this.#settings = settings
    this.#closer = closer
    this.#lastHeard = lastHeard
    this.#handler = handler
    this.questions = new ThreadQuestions(this.threads, closer.ledger, message => this.#say('thread-silent', message))
    this.#helpers = helpers
    // There are as many threads as cores already. Helpers in the collection of young objects, of which few are left each
    // time, cost more than they do, and the thread waits for the last of them.
    setFlagsFromString('--no-parallel-scavenge')
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
    this.#metering = metering
    this.#module = module
    this.counters = Array.from({ length: threads }, () => new Counters())
    // A thread goes on in the memory of the one that it replaces.
    this.#slots = new ThreadSlots(threads, index => new Keeper(this.#kept(this.counters[index]!)))
    this.#slots.start()
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** Whether all threads serve, or can be replaced. */
  get healthy(): boolean {
    return !this.#stuck && !this.#hangs.helpless
  }

  get driverConnections(): number {
    return this.threads.reduce((count, { figures }) => count + figures.driverConnections, 0)
  }

  /** While clients are drained: what they wait for. Afterwards: what was cut off, or is about to be. */
  get left(): Left {
    return this.threads.map(({ figures, clients }) => leftIn(figures, clients)).reduce(sum, NOTHING)
  }

  /** Resolves when each thread serves, or has ended: who is let in before would wait for them. Throws StartupError if none does. */
  async started(): Promise<void> {
    let ends: (string | undefined)[] = []
    await within(START_MS, Promise.all(this.threads.map(thread => thread.started())).then(all => (ends = all)))
    const [why] = ends
    if (why !== undefined && !ends.includes(undefined)) throw new StartupError(`no actor thread can be started: ${why}`)
  }

  /** Puts a connection into the outbox of a thread, and returns its number; undefined if there is no thread. */
  hand(client: HandOver): number | undefined {
    const thread = placeFor(this.threads, this.#minClients)
    if (thread === undefined) return undefined
    this.#closer.ledger.give(client.fd, thread.number)
    this.#lastHeard.begin(client.fd)
    thread.hand(client)
    return thread.number
  }

  isGiven(fd: number, thread: number): boolean {
    return this.#closer.ledger.isGiven(fd, thread)
  }

  /** Has a client closed that is still not in. `flush` sends it. */
  evict(thread: number, id: number): void {
    this.#numbered(thread)?.evict(id)
  }

  flush(): void {
    for (const thread of this.threads) thread.flush()
  }

  /** How many threads there can be, should be, are, and have little to do. */
  get size(): number {
    return this.#slots.size
  }

  get bounds(): ThreadBounds {
    return this.#slots.bounds
  }

  set bounds(bounds: ThreadBounds) {
    this.#slots.resize(bounds)
  }

  /** Whether there is a thread for whoever comes. */
  get takes(): boolean {
    return this.threads.some(({ ending }) => !ending)
  }

  get serving(): number {
    return this.threads.length
  }

  get idle(): number {
    return this.threads.filter(({ busy, stuck }) => !busy && !stuck).length
  }

  /** Numbers of those whose loops have not turned for two seconds. */
  get stuck(): number[] {
    return this.threads.filter(({ stuck }) => stuck).map(({ number }) => number)
  }

  /** In all threads. Resolves when all of them know. */
  async apply(settings: ActorSettings, minClients: number): Promise<void> {
    this.#settings = settings
    this.#minClients = minClients
    // A thread that dies before it answers never does; the one that replaces it begins with these settings.
    await within(APPLY_MS, Promise.all(this.threads.map(({ control }) => control.apply(settings))))
  }

  /** Clients are closed when all that they have asked for is done, or cut off after so many milliseconds; who comes is closed. */
  drain(ms: number): void {
    this.#drainedBy = performance.now() + ms
    for (const { control } of this.threads) void control.drain(ms)
  }

  /** Who comes is served. Resolves when all threads know. */
  async resume(): Promise<void> {
    this.#drainedBy = undefined
    await within(APPLY_MS, Promise.all(this.threads.map(({ control }) => control.resume())))
  }

  /** There is a SASL thread now, or another. */
  useSasl(sasl: SaslService): void {
    this.#helpers = { ...this.#helpers, sasl }
    for (const { control } of this.threads) {
      const port = sasl.connect()
      void control.useSasl(transfer(port, [port]))
    }
  }

  /** Closes all clients, then the threads. */
  async close(): Promise<void> {
    clearInterval(this.#looking)
    // Not the pool's own close: that one ends threads which are still starting, and koffi aborts the process then.
    const inTime = await this.#slots.stop()
    const late = inTime.filter(ended => !ended).length
    if (late > 0) {
      this.#say('threads-late', `${late} threads still had clients after ${SHUTDOWN_MS / 1000} s`)
    }
    // A thread that waits in the kernel never ends.
    this.#stuck = !(await within(SHUTDOWN_MS, this.#pool.destroy()))
  }

  #say(of: MessageKind, message: string): void {
    this.#handler.news({ kind: 'log', of, source: SOURCE.server, message, about: undefined })
  }

  #others(than: ActorThread | undefined): boolean {
    return this.threads.some(thread => thread !== than && !thread.leaving)
  }

  #numbered(wanted: number): ActorThread | undefined {
    return this.threads.find(({ number }) => number === wanted)
  }

  #look(): void {
    const hanging = this.#hangs.look(this.threads)
    for (const thread of this.threads) thread.stuck = this.#hangs.isStuck(thread)
    for (const thread of hanging) thread.terminate(this.#pool.threads, HANGS)
  }

  #kept(counters: Counters): Kept<ActorThread> {
    return {
      patience: SHUTDOWN_MS,
      start: () => this.#start(counters),
      // The only one that takes clients is replaced at once, unless it has not lived long itself.
      pause: died => (this.#others(died) || (died?.ageMs ?? 0) < RESTART_PAUSE_MS ? RESTART_PAUSE_MS : 0),
      died: (thread, why) => this.#died(thread, why)
    }
  }

  #start(counters: Counters): ActorThread {
    const { names, sasl, daemons, audit } = this.#helpers
    const window = audit.join()
    const task = {
      number: ++this.#numbers,
      settings: this.#settings,
      ledger: this.#closer.ledger.shared,
      limits: this.#limits,
      lastHeard: this.#lastHeard.shared,
      counters: counters.shared,
      metering: this.#metering,
      module: this.#module,
      audit: { window: window.shared, product: audit.product },
      names: names.connect(),
      sasl: sasl?.connect(),
      daemons: daemons?.connect()
    }
    const thread = new ActorThread(this.#pool, task, {
      news: news => this.#heard(news),
      audit: lines => audit.take(lines, window)
    })
    this.threads.push(thread)
    void thread.ended.then(() => {
      audit.leave(window)
      if (thread.leaving) this.#over(thread)
    })
    if (this.#drainedBy !== undefined) void thread.control.drain(Math.max(0, this.#drainedBy - performance.now()))
    this.#handler.threadStarted()
    return thread
  }

  /**
   * A worker failed before it had a task: there was no descriptor for it, perhaps. The tasks that wait, which are the
   * newest, would wait for ever, and clients with them: piscina starts no other worker until it gets a task.
   */
  #cannotStart(error: Error): void {
    const waiting = this.#pool.queueSize
    for (const thread of this.threads.slice(this.threads.length - waiting)) thread.giveUp(error.message)
  }

  #heard(news: ActorNews): void {
    this.#handler.news(news)
    if (news.kind === 'ended') this.#slots.settle()
  }

  #died(thread: ActorThread, reason: string): void {
    this.#over(thread)
    this.#handler.threadDied(thread.number, reason)
    // Of a thread that was to leave there need be no other.
    this.#slots.settle()
  }

  /** It has ended. */
  #over(thread: ActorThread): void {
    const index = this.threads.indexOf(thread)
    if (index < 0) return
    this.threads.splice(index, 1)
    this.#closer.closeAllOf(thread.number)
  }
}

const NOTHING: Left = { clients: 0, calls: 0, streams: 0 }

const sum = (one: Left, other: Left): Left => ({
  clients: one.clients + other.clients,
  calls: one.calls + other.calls,
  streams: one.streams + other.streams
})

/** What a thread has told last may be older than the end of its last client. */
function leftIn({ cutOff, left }: Figures, clients: number): Left {
  if (cutOff) return left
  return clients === 0 ? NOTHING : { ...left, clients }
}
