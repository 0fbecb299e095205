import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Actor } from '#workers/actor/actor.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { LastHeard } from '#workers/os/last-heard.js'
import { AuditWindow } from '#workers/thread/audit-window.js'
import { Counters } from '#workers/thread/counters.js'
import { Figures } from '#workers/thread/figures.js'
import type { ActorSettings } from '#workers/thread/settings.js'

/** Its number in the ledger. */
export const OWNER = 7
const LIMITS = { own: Infinity, foreign: 1024 }

const SETTINGS: ActorSettings = {
  logLevel: 'error', keepalive: { intervalMs: 0, count: 0 }, maxClientRequests: 1, driverMaxRequests: 1,
  driverConnectTimeoutMs: 1000, driverOpenTimeoutMs: 1000, loginTimeoutMs: 0, firstFrameTimeoutMs: 0,
  tcpMinSsf: 0, saslAllowedUsers: undefined, policy: [], slowCallMs: 0, shield: false, proxiedTls: undefined,
  auditing: false, auditReads: false, auditFailClosed: false,
  systemBusAddress: '', clientStallTimeoutMs: 0,
  closeTimeoutMs: 0, driverReconnect: false, driverSharing: 'off', driverPoolSize: 4, collapseReads: false,
  driverIdleTimeoutMs: 30_000, driverMaxIdle: 64, driverSocketDir: '/nowhere', driverSockets: [],
  testDriverSocket: undefined, ownSockets: [], uriAliases: [], superuser: { user: 'root', group: 'root' }, place: 'session',
  startsDaemons: false, tls: undefined
}

/** An actor in the test's own thread, whose supervisor is the test. */
export class MemoryActor {
  readonly ledger = new FdLedger()
  readonly actor: Actor
  /** The supervisor's end. */
  readonly work: MessagePort
  readonly #names = new MessageChannel()

  constructor(settings: Partial<ActorSettings> = {}) {
    const work = new MessageChannel()
    this.work = work.port1
    this.actor = new Actor({
      number: OWNER, settings: { ...SETTINGS, ...settings }, ledger: this.ledger.shared, limits: LIMITS,
      lastHeard: new LastHeard().shared, counters: new Counters().shared, metering: false, module: undefined,
      figures: new Figures().shared, audit: { window: new AuditWindow().shared, product: { version: '1', run: 'R' } },
      work: work.port2, names: this.#names.port2, sasl: undefined, daemons: undefined
    })
  }

  /** Resolves when all its clients are closed. */
  async stop(): Promise<void> {
    this.actor.shutdown()
    await this.actor.done
    this.#names.port1.close()
  }
}
