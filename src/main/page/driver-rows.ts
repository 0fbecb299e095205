import type { BrokerCalls } from '../../protocol/messages/broker-admin.js'
import type { Counters } from '../../workers/thread/counters.js'
import {
  BUCKETS, DRIVERS, driverOf, FAMILIES, NO_DRIVER, OUTCOME, type CallOutcome, type Family
} from '../../workers/thread/metric-families.js'
import type { ProcedureFigures } from '../metrics/procedure-figures.js'
import type { LiveDriver } from './live-state.js'

/** Of how many clients each driver is, by its index. */
export function clientsByDriver(clients: Iterable<{ readonly opened: string | undefined }>): number[] {
  const counts = DRIVERS.map(() => 0)
  for (const { opened } of clients) counts[opened === undefined ? NO_DRIVER : driverOf(opened)]!++
  return counts
}

/** Drivers that are there, or were wanted. `up`: which of them somebody listens for. */
export function driverRows(
  up: ReadonlyMap<string, boolean>, clients: readonly number[], figures: readonly ProcedureFigures[], threads: readonly Counters[]
): LiveDriver[] {
  const wanted = DRIVERS.filter((name, index) => clients[index]! > 0 || figures.some(({ driver }) => driver === name))
  return [...new Set<string>([...up.keys(), ...wanted])].map(name => {
    const index = DRIVERS.indexOf(name as (typeof DRIVERS)[number])
    const all = figures.filter(({ driver }) => driver === name)
    const values = (family: Family): number[] => (index < 0 ? [] : threads.map(counters => counters.get(family, index)))
    const durations = Array.from({ length: BUCKETS.length + 1 }, (_, bucket) => sum(all.map(figure => figure.durations[bucket]!)))
    return {
      name,
      up: up.get(name),
      clients: clients[index] ?? 0,
      calls: callsIn(all),
      inFlight: sum(values(FAMILIES.callsInFlight)),
      waiting: sum(values(FAMILIES.callsWaiting)),
      oldestMs: Math.max(0, ...values(FAMILIES.oldestCall)),
      durations
    }
  })
}

function callsIn(figures: readonly ProcedureFigures[]): BrokerCalls {
  const all = (outcome: CallOutcome): number => sum(figures.map(({ outcomes }) => outcomes[OUTCOME[outcome]]!))
  return { ok: all('ok'), error: all('error'), refused: all('refused'), lost: all('lost'), timeout: all('timeout') }
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
