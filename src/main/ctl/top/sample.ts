import { setTimeout as pause } from 'node:timers/promises'
import {
  BROKER, type BrokerClient, type BrokerStatus, type BusyBrokerClient, type BusyClients, type DriverList
} from '../../../protocol/messages/broker-admin.js'
import type { AdminLink } from '../admin-link.js'
import { allClients } from '../pages.js'

export type SampledClient = BrokerClient & Partial<BusyBrokerClient>

/** What the broker said at one time. */
export interface Sample {
  /** In milliseconds of any clock. */
  readonly at: number
  readonly status: BrokerStatus
  readonly drivers: DriverList
  /** Not all, where there are many, but the busiest among them, with what they do. */
  readonly clients: readonly SampledClient[]
}

/** More pages are not asked for: they would not be looked at. */
const MOST_PAGES = 4

/** Rejects with Unreachable or Refused. */
export async function takeSample(link: AdminLink): Promise<Sample> {
  const status = (await link.call(BROKER.status)) as BrokerStatus
  const drivers = (await link.call(BROKER.drivers)) as DriverList
  const listed = await allClients(link, MOST_PAGES)
  const busiest = (await link.call(BROKER.busiest)) as BusyClients
  const clients = new Map<number, SampledClient>([...listed, ...busiest.clients].map(client => [client.id, client]))
  return { at: performance.now(), status, drivers, clients: [...clients.values()] }
}

/** Per second, between two samples. */
export interface Rates {
  readonly accepted: number
  readonly closed: number
  /** Undefined where calls are not counted. */
  readonly calls: number | undefined
  readonly failed: number | undefined
}

/** Undefined where they cannot be told: of the first sample, and of another broker's. */
export function ratesOf({ at, status }: Sample, before: Sample | undefined): Rates | undefined {
  if (before === undefined || before.status.pid !== status.pid || at <= before.at) return undefined
  const perSecond = (now: number, then: number): number => (1000 * (now - then)) / (at - before.at)
  const [calls, old] = [status.calls, before.status.calls]
  const all = ({ ok, error, refused, lost, timeout }: NonNullable<typeof calls>): number => ok + error + refused + lost + timeout
  return {
    accepted: perSecond(status.accepted, before.status.accepted),
    closed: perSecond(status.closed, before.status.closed),
    calls: calls && old && perSecond(all(calls), all(old)),
    failed: calls && old && perSecond(all(calls) - calls.ok, all(old) - old.ok)
  }
}

/** Resolves after the time, or at once when `signal` is aborted. */
export const interval = (ms: number, signal: AbortSignal): Promise<unknown> => pause(ms, undefined, { signal }).catch(() => undefined)
