import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { DISPOSITION, type Disposition } from '#protocol/frame-reader.js'
import { frameProcedure, frameSerial, frameStatus, HEADER_BYTES, MESSAGE, PROGRAM, type Header } from '#protocol/header.js'
import type { Identity } from '#protocol/identity.js'
import { lookup } from '#protocol/procedures.js'
import { Counters } from '#workers/thread/counters.js'
import type { Clock } from '#workers/base/clock.js'
import { Comebacks } from '#workers/driver/comebacks.js'
import { DriverConnection } from '#workers/driver/driver-connection.js'
import { DriverPool } from '#workers/driver/driver-pool.js'
import type { DriverPort, DriverUser } from '#workers/driver/driver-port.js'
import type { Candidate, Way } from '#workers/driver/driver-sockets.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from '#workers/driver/drivers.js'
import { DriverLinks } from '#workers/driver/driver-links.js'
import { Leaving } from '#workers/driver/leaving.js'
import type { ConnectionUse } from '#workers/thread/driver-report.js'
import { Turns } from '#workers/thread/turns.js'
import { frame, type Frame } from './frame-socket.js'
import { ManualClock } from './manual-clock.js'
import { MemoryTransport } from './memory-transport.js'

export const NAME = 'qemu:///system'
const PATH = '/memory/virtqemud-sock'

export const wayTo = (name = NAME, path = PATH): Way => ({ candidates: [{ path, named: true, name, uri: name }], sought: path, starts: [] })

/** The name of `candidate` is open there. */
export const openedBy = (connection: DriverConnection, candidate: Candidate): OpenedDriver => ({
  port: connection,
  source: connection.source,
  uri: candidate.uri!,
  candidate,
  call: (proc, args, prog) => connection.call(proc, args, prog),
  serve: () => connection.serve()
})

/** The daemon's end of a connection: the test answers what comes there. */
export class Upstream {
  readonly connection: DriverConnection
  readonly transport: MemoryTransport

  constructor(
    readonly order: OpenOrder,
    readonly services: ConstructorParameters<typeof DriverConnection>[0]
  ) {
    let made: MemoryTransport | undefined
    this.connection = new DriverConnection(services, order.user, handler => (made = new MemoryTransport(handler)))
    this.transport = made!
  }

  /** The calls since the last time, of those too that would leave at the end of the turn. */
  take(): Frame[] {
    this.services.turns.end()
    return this.transport.take()
  }

  /** Which procedures these were of. */
  procedures(): number[] {
    return this.take().map(({ proc }) => proc)
  }

  reply({ prog, proc, serial }: Header, payload?: Buffer, pieces = Infinity, header: Partial<Header> = {}): void {
    this.transport.receive(frame({ prog, proc, serial, type: MESSAGE.reply, ...header }, payload), pieces)
  }

  get closed(): boolean {
    return this.transport.closed
  }
}

/** Driver daemons in memory to which real connections lead. */
class UpstreamDrivers implements Drivers {
  readonly comebacks = new Comebacks()
  readonly upstreams: Upstream[] = []
  /** What the next openings fail with. */
  refusal: Error | undefined
  /** The next openings take until then. */
  gate: Promise<void> = Promise.resolve()

  constructor(readonly services: ConstructorParameters<typeof DriverConnection>[0]) {}

  find(name: string | undefined): Way {
    return wayTo(name)
  }

  open(order: OpenOrder): DriverOpening {
    const { refusal } = this
    if (refusal !== undefined) return { opened: Promise.reject(refusal), abandon: () => undefined }
    const upstream = new Upstream(order, this.services)
    this.upstreams.push(upstream)
    const { connection } = upstream
    const opened = openedBy(connection, order.way.candidates[0]!)
    return { opened: this.gate.then(() => opened), abandon: () => connection.close() }
  }
}

/** A session that notes what comes to it. Its calls wait in a queue while there is no room for them. */
export class MemoryGuest implements DriverUser {
  readonly heard: string[] = []
  /** Procedures of those that are not answered, by serial. */
  readonly calls = new Map<number, number>()
  readonly relayed = { inPassedFrame: false, cutAtFrameEnd: (): void => undefined }
  readonly sender = undefined
  readonly waiting: Buffer[] = []
  bound = false
  /** How often it was told that all it had written is out. */
  drained = 0
  /** So many of its calls are out at a time. */
  most = Infinity
  order: OpenOrder | undefined
  #opened: OpenedDriver | undefined
  #serial = 0
  readonly #relayed: Buffer[] = []

  readonly session = { close: (why: string): void => void this.heard.push(`closed: ${why}`) }

  readonly judge = ((guest: MemoryGuest) => ({
    get bound(): boolean {
      return guest.bound
    },
    get onlyReads(): boolean {
      return [...guest.calls.values()].every(proc => lookup(PROGRAM.remote, proc)?.pure === true)
    },
    replied: (bytes: Buffer, at: number): Disposition | undefined =>
      guest.calls.delete(frameSerial(bytes, at)) ? DISPOSITION.pass : undefined,
    streamPacket: (): Disposition | undefined => undefined,
    event: (): Disposition => DISPOSITION.pass,
    driverId: (_: unknown, id: number): number => id
  }))(this)

  use(): ConnectionUse | undefined {
    const { way: { candidates: [candidate] }, readonly, identity } = this.order!
    const whose = { why: 'off', client: 1, clients: 1, calls: this.calls.size, oldestMs: undefined } as const
    return { kind: 'own', candidate: candidate!, readonly, identity, ...whose }
  }

  readonly driverEvents = {
    driverJudged: (): void => this.release(),
    driverDrained: (): void => void this.drained++,
    driverLost: (_: DriverPort, { message }: Error, reason: number, cut: boolean): void => {
      this.heard.push(`lost: ${message}, ${reason}, ${cut}`)
      this.#opened = undefined
    },
    driverViolated: (what: string): void => void this.heard.push(what)
  }

  readonly replies = {
    carriesDescriptors: false,
    relay: (bytes: Buffer, from: number, to: number): void => void this.#relayed.push(Buffer.from(bytes.subarray(from, to))),
    relayWithDescriptors: (): void => undefined,
    write: (bytes: Buffer): void => void this.#relayed.push(bytes)
  }

  get port(): DriverPort {
    if (this.#opened === undefined) throw new Error('not open')
    return this.#opened.port
  }

  get source(): OpenedDriver['source'] {
    return this.#opened!.source
  }

  begin(opened: OpenedDriver): void {
    if (!opened.serve()) throw driverClosed()
    this.#opened = opened
  }

  /** Calls, and returns the serial. */
  call(proc: number, payload?: Buffer, header: Partial<Header> = {}): number {
    const serial = ++this.#serial
    this.waiting.push(frame({ proc, serial, ...header }, payload))
    this.release()
    return serial
  }

  /** Gives the daemon what it takes. */
  release(): void {
    while (this.waiting.length > 0 && this.calls.size < this.most && this.#opened !== undefined) {
      const call = this.waiting[0]!
      const serial = frameSerial(call, 0)
      if (this.port.begin(call, 0, true) !== DISPOSITION.pass) return
      this.waiting.shift()
      this.port.writer.relay(call, 0, call.length)
      this.calls.set(serial, frameProcedure(call, 0))
    }
  }

  /** Bytes that have come since the last time, all of them. */
  taken(): Buffer {
    return Buffer.concat(this.#relayed.splice(0))
  }

  /** The replies since the last time: procedure, serial, status and payload. */
  answers(): { proc: number; serial: number; status: number; payload: string }[] {
    const all = this.taken()
    const found = []
    for (let at = 0; at < all.length; at += all.readUInt32BE(at)) {
      const payload = all.subarray(at + HEADER_BYTES, at + all.readUInt32BE(at)).toString('latin1')
      found.push({ proc: frameProcedure(all, at), serial: frameSerial(all, at), status: frameStatus(all, at), payload })
    }
    return found
  }
}

/** A pool over daemons in memory. */
export class SharedTrial {
  readonly settings = {
    keepalive: { intervalMs: 0, count: 0 }, driverMaxRequests: 2, driverSharing: 'identity' as 'identity' | 'user' | 'off',
    driverPoolSize: 2, driverIdleTimeoutMs: 60_000, driverMaxIdle: 64, collapseReads: false
  }
  readonly drivers: UpstreamDrivers
  readonly turns: Turns
  readonly pool: DriverPool
  readonly log: string[] = []
  readonly failures: unknown[] = []
  readonly figures = { driverConnections: 0 }
  readonly links = new DriverLinks(this.figures)
  readonly counters = new Counters()

  constructor(clock: Clock) {
    const failed = (_: unknown, error: unknown): void => void this.failures.push(error)
    const turns = (this.turns = new Turns(failed))
    const io = { closer: { close: () => undefined } as never, failed }
    const { settings, counters } = this
    this.drivers = new UpstreamDrivers({ clock, turns, leaving: new Leaving(() => undefined), counters, links: this.links, io, settings })
    const write = (kind: string, _: string, message: string): void => void this.log.push(`${kind}: ${message}`)
    this.pool = new DriverPool(this.drivers, {
      clock, turns, io, settings, counters, log: { write, strangers: write, hears: () => true }
    })
  }

  get upstreams(): Upstream[] {
    return this.drivers.upstreams
  }

  /** So many of one identity. */
  guests(count: number): Promise<MemoryGuest[]> {
    return Promise.all(Array.from({ length: count }, () => this.open()))
  }

  async open(identity: Identity = {}, way = wayTo(), readonly = false): Promise<MemoryGuest> {
    const user = new MemoryGuest()
    user.begin(await this.opened(user, identity, way, readonly))
    return user
  }

  /** As `open`, up to where the session would use it. */
  opened(user = new MemoryGuest(), identity: Identity = {}, way = wayTo(), readonly = false): Promise<OpenedDriver> {
    const log = { log: () => undefined, logTrouble: () => undefined }
    user.order = { way, readonly, identity, user, log }
    return this.pool.open(user.order).opened
  }
}

/** One in which time passes only when the test waits. */
export class TimedTrial extends SharedTrial {
  constructor(readonly time = new ManualClock()) {
    super(time.asClock)
  }
}

/** In a `describe`: hands a pool of its own to each of the tests, in which nothing may have failed in the end. */
export function eachTrial(use: (trial: TimedTrial) => void): void {
  let trial: TimedTrial
  beforeEach(() => use((trial = new TimedTrial())))
  afterEach(() => {
    trial.pool.stop()
    expect(trial.failures).to.deep.equal([])
  })
}
