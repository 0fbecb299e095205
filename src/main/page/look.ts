import { hostname } from 'node:os'
import type { Counters } from '../../workers/thread/counters.js'
import { BUCKETS, FAMILIES, POOL_STATE, REFUSALS, TRANSPORTS } from '../../workers/thread/metric-families.js'
import { callsOf } from '../admin/call-totals.js'
import { slowCall } from '../admin/slow-calls.js'
import type { BrokerLife, WatchedCalls } from '../admin/broker-program.js'
import { version } from '../config/version.js'
import type { Check } from '../metrics/answers.js'
import type { CertificatesInUse } from '../metrics/certificates.js'
import type { ClientFigures } from '../metrics/clients.js'
import type { DriverReach } from '../metrics/driver-reach.js'
import { ProcedureSums, type ProcedureFigures } from '../metrics/procedure-figures.js'
import { openDescriptors, startedAt } from '../metrics/process.js'
import { clientTable, type ListedClient } from './client-rows.js'
import { clientsByDriver, driverRows, sum } from './driver-rows.js'
import type { LiveClients, LiveLimit, LivePool, LiveProcedure, LiveState, LiveThread } from './live-state.js'
import type { ClientQuery } from './query.js'
import { Sampler, type AskedThread } from './sampler.js'

/** A thread as it is shown. */
export interface ShownThread extends AskedThread {
  readonly number: number
  readonly clients: number
  readonly counters: Counters
}

/** What is shown of the broker. */
export interface Shown {
  readonly clients: { readonly size: number; readonly unauthenticated: number; all(): Iterable<ListedClient> }
  readonly places: Pick<ClientFigures, 'waiting' | 'queues' | 'limits'>
  readonly threads: { readonly threads: readonly ShownThread[]; readonly counters: readonly Counters[]; readonly driverConnections: number }
  /** What the supervisor counts itself. */
  readonly own: Counters
  readonly life: Pick<BrokerLife, 'state' | 'refused'>
  readonly watched: Pick<WatchedCalls, 'slowCalls' | 'slowCallMs'>
  readonly certificates: CertificatesInUse
  readonly reach: DriverReach
  readonly ready: Check
  readonly maxFds: number
}

const MOST_SLOW = 10
const MOST_PROCEDURES = 200

/** Looks at the broker for whoever has the page open. */
export class Look {
  readonly #shown: Shown
  readonly #sums = new ProcedureSums()
  readonly #sampler: Sampler

  constructor(shown: Shown) {
    this.#shown = shown
    this.#sampler = new Sampler(() => shown.threads.threads)
  }

  async state(query: ClientQuery): Promise<LiveState> {
    const { clients, threads, own, life, watched, certificates, reach, ready, maxFds } = this.#shown
    const [sample, up, notReady, fds] = await Promise.all([this.#sampler.sample(), reach.look(), ready(), openDescriptors()])
    const figures = this.#sums.sum(threads.counters.map(({ words }) => words))
    return {
      now: Date.now(),
      clock: performance.now(),
      latencyBuckets: BUCKETS,
      broker: {
        host: hostname(), version, pid: process.pid, since: startedAt, state: life.state, notReady, refused: life.refused,
        residentBytes: process.memoryUsage.rss()
      },
      clients: this.#clients(),
      calls: callsOf(threads.counters),
      drivers: driverRows(up, clientsByDriver(clients.all()), figures, threads.counters),
      pool: poolOf(threads),
      procedures: proceduresOf(figures),
      threads: [...threads.threads.map(threadRow), supervisorRow(own)],
      refusals: refusalsOf([...threads.counters, own]),
      slow: { ms: watched.slowCallMs, calls: watched.slowCalls.slice(-MOST_SLOW).reverse().map(slowCall) },
      certificates: certificates.all.map(({ role, subject, from, to }) => ({ role, subject, from: 1000 * from, to: 1000 * to })),
      limits: this.#limits(fds, maxFds),
      table: clientTable(clients.all(), sample, query)
    }
  }

  #clients(): LiveClients {
    const { clients } = this.#shown
    const byTransport = Object.fromEntries(TRANSPORTS.map(transport => [transport, 0]))
    for (const { listener } of clients.all()) byTransport[listener.transport]!++
    return { total: clients.size, unauthenticated: clients.unauthenticated, byTransport }
  }

  #limits(fds: number, maxFds: number): LiveLimit[] {
    const { clients, places } = this.#shown
    const { maxClients, maxHandshakes } = places.limits()
    let handshakes = 0
    for (const { listener, state } of clients.all()) if (listener.transport === 'tls' && state === 'arriving') handshakes++
    return [
      { name: 'clients', used: clients.size, most: maxClients },
      { name: 'TLS handshakes', used: handshakes, most: maxHandshakes },
      { name: 'connections that wait for a place', used: places.waiting(), most: 0 },
      ...places.queues().map(({ listener, waiting, limit }) => ({ name: `backlog of ${listener}`, used: waiting, most: limit })),
      { name: 'open files', used: fds, most: Number.isFinite(maxFds) ? maxFds : 0 }
    ]
  }
}

const refusalsOf = (counters: readonly Counters[]): LiveState['refusals'] =>
  Object.fromEntries(REFUSALS.map((reason, index) => [reason, sum(counters.map(each => each.get(FAMILIES.refusals, index)))]))

function poolOf({ counters, driverConnections }: Shown['threads']): LivePool {
  const all = (family: (typeof FAMILIES)[keyof typeof FAMILIES], first = 0): number => sum(counters.map(each => each.get(family, first)))
  return {
    connections: driverConnections,
    busy: all(FAMILIES.sharedConnections, POOL_STATE.busy),
    idle: all(FAMILIES.sharedConnections, POOL_STATE.idle),
    clients: all(FAMILIES.sharingClients),
    waiting: all(FAMILIES.poolWaiting)
  }
}

/** Those that took most time first. */
function proceduresOf(figures: readonly ProcedureFigures[]): LiveProcedure[] {
  const rows = figures.map(({ procedure, driver, outcomes, durations }) => {
    const buckets = BUCKETS.length + 1
    return { procedure, driver, calls: sum(outcomes), totalUs: durations[buckets]!, timed: sum(durations.slice(0, buckets)) }
  })
  return rows.sort((one, other) => other.totalUs - one.totalUs).slice(0, MOST_PROCEDURES)
}

const threadRow = ({ number, clients, stuck, counters }: ShownThread): LiveThread => ({ number, clients, stuck, ...loopOf(counters) })

const supervisorRow = (own: Counters): LiveThread => ({ number: undefined, clients: 0, stuck: false, ...loopOf(own) })

function loopOf(counters: Counters): Pick<LiveThread, 'utilization' | 'delayMs'> {
  const delay = (which: number): number => counters.get(FAMILIES.loopDelay, which) / 1e6
  return { utilization: counters.get(FAMILIES.utilization), delayMs: { p50: delay(0), p99: delay(1), max: delay(2) } }
}
