import { PROGRAM } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Counters } from '#workers/thread/counters.js'
import { Newcomer } from '#workers/arrival/newcomer.js'
import { Clock } from '#workers/base/clock.js'
import { LastHeard } from '#workers/os/last-heard.js'
import type { AuthMethod } from '#workers/os/listener-kind.js'
import type { Arrived } from '#workers/arrival/arriving-client.js'
import type { ClientState, ServedRecord } from '#workers/thread/client-record.js'
import { NO_DRIVER } from '#workers/thread/metric-families.js'
import type { ThreadAudit } from '#workers/thread/audit.js'
import type { SessionObserver } from '#workers/thread/session-observer.js'
import { AUDITED } from '#workers/policy/audited.js'
import { Policy } from '#workers/policy/policy.js'
import { ClientSession } from '#workers/session/client-session.js'
import type { SessionAccess, SessionOwner } from '#workers/session/session-owner.js'
import type { ThreadServices } from '#workers/thread/services.js'
import { Turns } from '#workers/thread/turns.js'
import { UnopenedMemory } from '#workers/thread/unopened-memory.js'
import { frame, type Frame } from './frame-socket.js'
import { MemoryDrivers, type MemoryPort, type PortKind } from './memory-driver.js'
import { MemoryTransport } from './memory-transport.js'

const lastHeard = new LastHeard()

/** A clock for all tests of a suite. */
export function suiteClock(use: (clock: Clock) => void): void {
  let clock: Clock
  before(() => use((clock = new Clock(() => undefined))))
  after(() => clock.stop())
}

/** Lets what was promised happen. */
export const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** A client whose session is to begin, and its transport once that has begun. */
export function arrivedInMemory(
  { id, listener, identity }: Pick<ServedRecord, 'id' | 'listener' | 'identity'>
): [Arrived, () => MemoryTransport] {
  let made: MemoryTransport | undefined
  const state = listener.auth === 'none' ? 'serving' : 'authenticating'
  return [{
    record: { id, since: 0, listener, peer: undefined, via: undefined, identity, state, driver: NO_DRIVER, opened: undefined },
    fd: 9,
    newcomer: new Newcomer(lastHeard, 9, 0),
    failure: undefined,
    transport: handler => (made = new MemoryTransport(handler))
  }, () => made!]
}

interface MemoryOptions {
  auth?: AuthMethod
  reconnects?: boolean
  openTimeoutMs?: number
  observer?: SessionObserver
  audit?: ThreadAudit
  readonly?: boolean
}

/** A session between a client and driver daemons that are the test's, all in memory. */
export class MemorySession {
  readonly drivers: MemoryDrivers
  readonly counters = new Counters()
  readonly session: ClientSession
  readonly transport: MemoryTransport
  readonly log: string[] = []
  readonly failures: unknown[] = []
  /** What others were told that the client has come to, and what it has opened by then. */
  readonly told: (readonly [ClientState, opened: string | undefined])[] = []
  readonly refusedLogins: string[] = []
  ended: string | undefined
  #serial = 0

  constructor(clock: Clock, kind: PortKind, {
    auth = 'none', reconnects = true, openTimeoutMs = 60_000, observer, audit, readonly = false
  }: MemoryOptions = {}) {
    this.drivers = new MemoryDrivers(kind)
    const write = (level: string, _source: string, message: string): void => void this.log.push(`${level}: ${message}`)
    const failed = (_: unknown, error: unknown): void => void this.failures.push(error)
    const services = {
      clock, turns: new Turns(failed), unopened: new UnopenedMemory(), counters: this.counters,
      io: { closer: { close: () => undefined }, failed },
      log: { write, strangers: write, hears: () => true }, observer, audit,
      settings: {
        keepalive: { intervalMs: 0, count: 0 }, maxClientRequests: 5, driverReconnect: reconnects, driverOpenTimeoutMs: openTimeoutMs,
        loginTimeoutMs: 0, firstFrameTimeoutMs: 0, closeTimeoutMs: 60_000, clientStallTimeoutMs: 0
      }
    }
    const access = { drivers: this.drivers, policy: new Policy([], false, audit && (audit.reads ? AUDITED.all : AUDITED.notable)) }
    const owner: SessionOwner = {
      changed: ({ state, opened }) => this.told.push([state, opened]),
      opened: ({ state, opened }) => this.told.push([state, opened]),
      ended: (_, why) => (this.ended = why),
      loginRefused: (_, why) => this.refusedLogins.push(why)
    }
    const listener = { name: 'unix', transport: 'unix', readonly, auth } as const
    const [arrived, transport] = arrivedInMemory({ id: 1, listener, identity: {} })
    this.session = new ClientSession(services as unknown as ThreadServices, access as unknown as SessionAccess, owner, arrived)
    this.transport = transport()
  }

  /** The client calls. Returns the serial. */
  call(proc: number, args?: Uint8Array, pieces = Infinity): number {
    const serial = ++this.#serial
    this.transport.receive(frame({ prog: PROGRAM.remote, proc, serial }, args), pieces)
    return serial
  }

  /** As `call`, in two pieces, of which the first is `cut` bytes long. */
  callInTwo(proc: number, args: Uint8Array, cut: number): number {
    const serial = ++this.#serial
    const bytes = frame({ prog: PROGRAM.remote, proc, serial }, args)
    for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) this.transport.receive(piece)
    return serial
  }

  /** What the client has got since the last time. */
  take(): Frame[] {
    return this.transport.take()
  }

  get port(): MemoryPort {
    return this.drivers.last.port
  }

  connectOpen(): number {
    return this.call(REMOTE.connectOpen, encodeOpen({ name: 'test:///memory', flags: 0 }))
  }

  /** The client has a connection. */
  async open(): Promise<MemoryPort> {
    this.connectOpen()
    this.drivers.last.succeed()
    await settle()
    this.take()
    return this.port
  }
}
