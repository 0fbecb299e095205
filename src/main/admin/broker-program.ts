import {
  BROKER, readJson, type BrokerLimits, type BrokerProcedure, type BrokerStatus, type ProcedureList, type SlowCallList
} from '../../protocol/messages/broker-admin.js'
import { invalidArgument } from '../../protocol/bad-arguments.js'
import type { Call, Procedure } from '../../workers/serving/dispatch.js'
import type { SlowCall } from '../../workers/thread/slow-call.js'
import type { Clients } from '../clients/clients.js'
import type { ClosedClients } from '../clients/closed-clients.js'
import type { FollowedLog } from '../log/followed-log.js'
import type { AdminClient } from './admin-client.js'
import type { AdministeredThreads } from './broker-server.js'
import { callsOf } from './call-totals.js'
import { busiestOf, closedPageOf, connectionsOf, driversOf, pageOf } from './client-lists.js'
import { failed, fewerThanUnauthenticated, noClient, notNow } from './failures.js'
import { wholeNumber, type JsonArguments, type JsonProcedure } from './json-procedure.js'
import { followed, log } from './log-calls.js'
import type { BrokerControl } from './ports.js'
import { slowCall } from './slow-calls.js'
import { trace } from './trace-call.js'

/** The life of the broker, in the hands of an operator. */
export interface BrokerLife {
  readonly state: string
  /** Why the configuration could not be loaded anew, if that was so the last time. */
  readonly refused: string | undefined
  /** False: it makes no sense now. */
  request(what: 'drain' | 'resume'): boolean
  /** Resolves with why the configuration cannot be used; undefined if it is in use now. Rejects if this is not the time. */
  loadAnew(): Promise<string | undefined>
}

/** What is known of calls. */
export interface WatchedCalls {
  /** The last ones that took long, and what that means now. */
  readonly slowCalls: readonly SlowCall[]
  readonly slowCallMs: number
  /** Undefined where calls are not counted. */
  procedures(): BrokerProcedure[] | undefined
}

/** What the program shows and changes. */
export interface Operated {
  readonly clients: Clients
  readonly closed: ClosedClients
  readonly followed: FollowedLog
  readonly threads: AdministeredThreads
  readonly control: BrokerControl
  readonly life: BrokerLife
  readonly watched: WatchedCalls
  /** Those of the admin socket. */
  readonly adminClients: ReadonlyMap<number, AdminClient>
  readonly version: string
}

/** More are not told of. */
const MAX_PROCEDURES = 200
const MAX_LIMIT = 2 ** 32 - 1
const startedAt = Date.now() - Math.round(1000 * process.uptime())

/** The broker's own program, by procedure number: see messages/broker-admin.ts. */
export function brokerProgram(broker: Operated): readonly (Procedure<AdminClient> | undefined)[] {
  const { clients, threads, control, life } = broker
  const table: Readonly<Record<number, JsonProcedure>> = {
    [BROKER.status]: (): BrokerStatus => ({
      version: broker.version,
      pid: process.pid,
      state: life.state,
      since: startedAt,
      clients: clients.size,
      unauthenticated: clients.unauthenticated,
      adminClients: broker.adminClients.size,
      driverConnections: threads.driverConnections,
      threads: { ...threads.bounds, serving: threads.serving, idle: threads.idle },
      perThread: threads.threads.map(({ number, clients: count, figures: { driverConnections }, busy, stuck }) =>
        ({ number, clients: count, driverConnections, busy, stuck })
      ),
      accepted: broker.closed.count + clients.size,
      closed: broker.closed.count,
      calls: callsOf(threads.counters),
      refused: life.refused
    }),
    [BROKER.clients]: ({ after = 0 }) => pageOf(clients.all(), wholeNumber(after, 'after')),
    [BROKER.closed]: ({ after = 0 }) => closedPageOf(broker.closed, wholeNumber(after, 'after')),
    [BROKER.drivers]: () => driversOf(clients.all()),
    [BROKER.disconnect]: async ({ id }) => {
      const wanted = wholeNumber(id, 'id')
      const client = clients.get(wanted)
      if (client === undefined) throw noClient(BigInt(wanted))
      await threads.questions.disconnect(client)
    },
    [BROKER.drain]: () => requested(life.request('drain'), life),
    [BROKER.resume]: () => requested(life.request('resume'), life),
    [BROKER.reload]: async () => {
      const refused = await life.loadAnew()
      if (refused !== undefined) throw failed(refused)
    },
    [BROKER.limits]: async wanted => {
      const of = wanted.of === 'admin' ? 'admin' : 'broker'
      const maxClients = limit(wanted, 'maxClients')
      const maxAnonymousClients = limit(wanted, 'maxAnonymousClients')
      if (maxClients !== undefined || maxAnonymousClients !== undefined) {
        await control.changeLimits(of, now => {
          const then = { maxClients: maxClients ?? now.maxClients, maxAnonymousClients: maxAnonymousClients ?? now.maxAnonymousClients }
          if (then.maxClients < then.maxAnonymousClients) throw fewerThanUnauthenticated()
          return then
        })
      }
      const { maxClients: most, maxAnonymousClients: mostAnonymous } = control.limits(of)
      const [size, unauthenticated] = of === 'admin' ? [broker.adminClients.size, 0] : [clients.size, clients.unauthenticated]
      return { maxClients: most, maxAnonymousClients: mostAnonymous, clients: size, unauthenticated } satisfies BrokerLimits
    },
    [BROKER.log]: wanted => log(control, wanted),
    [BROKER.follow]: ({ after }) => followed(broker.followed, after),
    [BROKER.slow]: (): SlowCallList => ({ calls: broker.watched.slowCalls.map(slowCall), slowCallMs: broker.watched.slowCallMs }),
    [BROKER.procedures]: (): ProcedureList => {
      const all = broker.watched.procedures()
      if (all === undefined) throw failed('calls are not counted: metrics_listen is not set')
      return { procedures: all.slice(0, MAX_PROCEDURES), others: Math.max(0, all.length - MAX_PROCEDURES) }
    },
    [BROKER.connections]: async ({ thread, after = 0 }) =>
      connectionsOf(await threads.questions.connections(wholeNumber(thread, 'thread'), wholeNumber(after, 'after'))),
    [BROKER.busiest]: async () => busiestOf(await threads.questions.busiest(), clients),
    [BROKER.trace]: (wanted, { id }) => trace(broker, wanted, id)
  }
  const program: (Procedure<AdminClient> | undefined)[] = []
  for (const [number, procedure] of Object.entries(table)) program[Number(number)] = call => answered(call, procedure)
  return program
}

async function answered({ args, reply, client }: Call<AdminClient>, procedure: JsonProcedure): Promise<void> {
  const given = readJson(args)
  const result = await procedure(Object(given) as JsonArguments, client)
  reply.string(JSON.stringify(result ?? null))
}

function limit(wanted: JsonArguments, name: 'maxClients' | 'maxAnonymousClients'): number | undefined {
  const value = wanted[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_LIMIT) return value
  throw invalidArgument(`${name} must be a number`)
}

function requested(accepted: boolean, { state }: BrokerLife): void {
  if (!accepted) throw notNow(state)
}
