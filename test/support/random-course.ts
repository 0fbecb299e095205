import { Counters } from '#workers/thread/counters.js'
import { DriverPool } from '#workers/driver/driver-pool.js'
import { DriverLinks } from '#workers/driver/driver-links.js'
import { Leaving } from '#workers/driver/leaving.js'
import { TICK_MS, type Closable } from '#workers/base/clock.js'
import { driverOf, FAMILIES, PROMOTIONS, RECONNECT_OUTCOMES } from '#workers/thread/metric-families.js'
import { Turns } from '#workers/thread/turns.js'
import type { ThreadServices } from '#workers/thread/services.js'
import { UnopenedMemory } from '#workers/thread/unopened-memory.js'
import { CourseClient } from './course-client.js'
import { CourseDaemon, OPEN_MS, type CourseLink } from './course-daemon.js'
import { ManualClock } from './manual-clock.js'
import { settle } from './memory-session.js'
import type { Random } from './random.js'
import { NAME } from './shared-trial.js'

const CLIENTS = 8
/** What happens in one turn of the loop, at most. */
const AT_ONCE = 8
/** Ticks in which all has to come to its end: longer than any deadline. */
const PATIENCE = 400
const IDLE_MS = 3000

/** How often that has happened which is to be survived. */
export interface CourseReport {
  readonly answers: number
  readonly reconnections: number
  readonly promotions: number
  readonly joined: number
}

/**
 * Sessions of a thread, the pool of its driver connections, clients and a daemon, all in memory, to which things happen as
 * chance has it, until in the end nobody does anything wrong any more.
 */
export class RandomCourse {
  readonly clock = new ManualClock()
  readonly #counters = new Counters()
  readonly #failures: unknown[] = []
  readonly #figures = { driverConnections: 0 }
  readonly #leaving = new Leaving(() => undefined)
  readonly #turns = new Turns((session, error) => this.#failed(session, error))
  readonly #daemon: CourseDaemon
  readonly #pool: DriverPool
  readonly #services: ThreadServices
  #clients: CourseClient[] = []
  #came = 0
  #answers = 0
  readonly #log: string[] = []

  constructor(readonly random: Random) {
    const settings = {
      keepalive: { intervalMs: 2000, count: 2 }, maxClientRequests: random.integer(1, 4), driverMaxRequests: random.integer(1, 3),
      driverReconnect: true, driverOpenTimeoutMs: OPEN_MS, driverSharing: random.pick(['identity', 'identity', 'off']),
      driverPoolSize: random.integer(1, 2), driverIdleTimeoutMs: IDLE_MS, driverMaxIdle: random.integer(0, 3),
      collapseReads: random.chance(0.5),
      loginTimeoutMs: 0, firstFrameTimeoutMs: 0, closeTimeoutMs: 2000, clientStallTimeoutMs: 3000
    }
    const write = (kind: string, _: string, message: string): void => void this.#log.push(`${kind}: ${message}`)
    const services = {
      clock: this.clock.asClock, turns: this.#turns, unopened: new UnopenedMemory(), counters: this.#counters, settings,
      io: { closer: { close: () => undefined }, failed: (session: Closable | undefined, error: unknown) => this.#failed(session, error) },
      log: { write, strangers: write, hears: () => true }, observer: undefined, audit: undefined,
      leaving: this.#leaving, links: new DriverLinks(this.#figures)
    }
    this.#services = services as unknown as ThreadServices
    this.#daemon = new CourseDaemon(services as unknown as CourseDaemon['services'], random)
    this.#pool = new DriverPool(this.#daemon, services as unknown as ConstructorParameters<typeof DriverPool>[1])
  }

  #failed(session: Closable | undefined, error: unknown): void {
    this.#failures.push(error)
    session?.close('internal failure', 'internal-failure')
  }

  /** So many turns. Throws if anything is wrong, then or in the end. */
  async run(turns: number): Promise<CourseReport> {
    for (let turn = 0; turn < turns; turn++) {
      await this.#turn(() => {
        for (let count = this.random.integer(1, AT_ONCE); count > 0; count--) this.#move()
      })
      if (this.random.chance(0.3)) this.clock.advance(TICK_MS)
    }
    await this.#calm()
    return {
      answers: this.#answers,
      reconnections: this.#counters.get(FAMILIES.driverReconnects, driverOf(NAME), RECONNECT_OUTCOMES.indexOf('ok')),
      promotions: PROMOTIONS.reduce((sum, _, reason) => sum + this.#counters.get(FAMILIES.promotions, reason), 0),
      joined: this.#counters.get(FAMILIES.joinedCalls)
    }
  }

  async #turn(work: () => void): Promise<void> {
    this.#turns.polled()
    work()
    this.#turns.pollOver()
    await settle()
    for (const client of this.#clients) this.#answers += client.read()
    this.#clients = this.#clients.filter(({ closed }) => !closed)
    this.#daemon.forgetClosed()
    if (this.#failures.length > 0) throw new Error('an unexpected failure', { cause: this.#failures[0] })
  }

  #move(): void {
    const { random } = this
    if (this.#clients.length < CLIENTS) this.#come()
    const chance = random.fraction()
    if (chance < 0.4) random.pick(this.#clients).act()
    else if (chance < 0.46) random.pick(this.#clients).out.flush(random.chance(0.1))
    else if (chance < 0.8) this.#answer()
    else if (chance < 0.9) this.#link(random.pick(DAEMON_DEEDS))
    else if (chance < 0.94) this.#stall(random.pick(this.#clients))
    else if (chance < 0.95) random.pick(this.#clients).die()
    else if (chance < 0.98) this.#dieSome()
    else if (!this.#daemon.up) this.#daemon.up = true
    else if (random.chance(0.08)) this.#daemon.die()
  }

  #come(): void {
    this.#clients.push(new CourseClient(++this.#came, this.#services, this.#pool, this.random))
  }

  /** Some of what the daemon has been asked. */
  #answer(): void {
    for (const link of this.#daemon.links) link.read()
    const asked = this.#daemon.links.filter(({ calls, dead, hangs }) => calls.length > 0 && !dead && !hangs)
    if (asked.length === 0) return
    const link = this.random.pick(asked)
    for (let count = this.random.integer(1, 4); count > 0; count--) link.answer()
  }

  #link(deed: (link: CourseLink, random: Random) => void): void {
    const { links } = this.#daemon
    if (links.length > 0) deed(this.random.pick(links), this.random)
  }

  /** One that does not read, or does again. */
  #stall(client: CourseClient): void {
    if (client.closed) return
    if (client.transport.slow) client.drain()
    else if (this.random.chance(0.1)) client.transport.slow = true
  }

  /** A connection ends, or those of a daemon that has died are told so. */
  #dieSome(): void {
    const dead = this.#daemon.links.filter(link => link.dead)
    for (const link of dead) if (this.random.chance(0.5)) link.tellDeath()
    if (dead.length === 0 && this.random.chance(0.05)) this.#link(link => (link.dead = true))
  }

  // In the end

  /** From now on the daemon is there and does what it should, and clients do what is to be done by them. */
  async #calm(): Promise<void> {
    this.#daemon.up = true
    await this.#until('answers to all calls', () => this.#clients.every(({ owed }) => owed.size === 0))
    await this.#until('the end of all streams', () => {
      for (const client of this.#clients) client.endStream()
      return this.#clients.every(({ streams, ending }) => streams.size + ending.size === 0)
    })
    await this.#until('a name that is open, for all', () => {
      for (const client of this.#clients) if (!client.isOpen && client.owed.size === 0) client.act()
      return this.#clients.every(({ isOpen, leaves }) => isOpen || leaves)
    })
    await this.#hear()
    for (const client of this.#clients) if (!client.leaves) client.close()
    await this.#until('the end of all clients', () => this.#clients.length === 0)
    await this.#until('the end of all driver connections', () => this.#figures.driverConnections + this.#leaving.size === 0)
    const { guests, waiting, busy, idle } = this.#pool.figures
    if (this.#pool.size + guests + waiting + busy + idle > 0) throw new Error(`the pool keeps ${JSON.stringify(this.#pool.figures)}`)
  }

  /** Who has registered hears of what happens, once. */
  async #hear(): Promise<void> {
    const listeners = this.#clients.filter(({ leaves }) => !leaves)
    // Those who have lost their daemon come back of themselves.
    await this.#until('their return', () => listeners.every(({ heard, session }) => heard.size === 0 || session.isOpen))
    for (const { heard } of listeners) for (const id of heard.keys()) heard.set(id, 0)
    for (const link of this.#daemon.links) link.emit()
    await this.#until('an event for all', () => listeners.every(({ heard }) => [...heard.values()].every(count => count === 1)))
  }

  async #until(what: string, probe: () => boolean): Promise<void> {
    for (let tick = 0; tick < PATIENCE; tick++) {
      await this.#turn(() => this.#settleAll())
      if (probe()) return
      this.clock.advance(TICK_MS)
    }
    throw new Error(`waited in vain for ${what}:\n${this.#describe()}`)
  }

  #settleAll(): void {
    for (const link of [...this.#daemon.links]) {
      if (link.dead) link.tellDeath()
      link.hangs = false
      link.drain()
      link.read()
      while (link.calls.length > 0) link.answer(true)
      link.out.flush()
    }
    for (const client of [...this.#clients]) {
      client.drain()
      client.out.flush()
    }
  }

  #describe(): string {
    const links = this.#daemon.links.map(({ transport: { paused }, calls, ids, dead, connection: { number } }) => {
      const what = `${calls.length} calls, ids ${[...ids.keys()].join(' ')}`
      return `connection ${number}: ${what}${paused ? ', paused' : ''}${dead ? ', dead' : ''}`
    })
    return [...this.#clients.map(({ state }) => state), ...links, JSON.stringify(this.#pool.figures), ...this.#log.slice(-20)].join('\n')
  }
}

const DAEMON_DEEDS: readonly ((link: CourseLink, random: Random) => void)[] = [
  link => link.stream(),
  link => link.out.flush(true),
  link => link.out.flush(),
  link => link.emit(),
  link => link.drain(),
  (link, random) => { if (random.chance(link.streams.length > 0 ? 0.5 : 0.1)) link.transport.slow = true },
  (link, random) => { if (random.chance(0.05)) link.break() },
  (link, random) => { link.hangs = random.chance(0.1) }
]
