import type { BrokerThread } from '../../../protocol/messages/broker-admin.js'
import { compareValues, from, SORTED_BY } from '../client-order.js'
import { printable } from '../printable.js'
import { amount, dateAndTime, duration, table } from '../table.js'
import type { Rates, Sample, SampledClient } from './sample.js'

/** The two first: the most first. */
const ORDERS = ['calls', 'p99Us', ...SORTED_BY] as const
export type Order = (typeof ORDERS)[number]

/** What is to be seen of a sample. */
export interface Seen {
  readonly sort: Order
  readonly reverse: boolean
  /** So many clients are passed over. */
  readonly skipped: number
  readonly paused: boolean
  /** Why there is no newer sample. */
  readonly trouble: string | undefined
}

const MOST_DRIVERS = 5
const MOST_THREADS = 8

/** As many lines as the screen has, the keys last. There are no control characters in them; they can be longer than it is wide. */
export function view(sample: Sample, rates: Rates | undefined, seen: Seen, rows: number): string[] {
  const above = [...summary(sample, rates), '', ...threads(sample.status.perThread), '', ...drivers(sample), '']
  const foot = footer(seen)
  const room = Math.max(0, rows - foot.length)
  const shown = [...above.slice(0, room), ...clients(sample, seen, room - above.length)]
  const empty = Array.from({ length: room - shown.length }, () => '')
  return [...shown, ...empty, ...foot].slice(-rows)
}

function summary({ status, clients: shown }: Sample, rates: Rates | undefined): string[] {
  const { version, state, pid, since, clients, unauthenticated, driverConnections, refused } = status
  const come = rates === undefined ? '' : `, ${tenths(rates.accepted)} come and ${tenths(rates.closed)} go a second`
  const calls = rates?.calls === undefined ? '' : `   calls ${tenths(rates.calls)} a second, ${tenths(rates.failed!)} of them not ok`
  const some = shown.length < clients ? ` (the first ${shown.length} are listed)` : ''
  return [
    printable(`virtbrokerd ${version}   process ${pid}   ${state}   since ${dateAndTime(since)}`),
    `clients ${clients}, ${unauthenticated} not logged in${come}${some}`,
    `driver connections ${driverConnections}${calls}`,
    ...(refused === undefined ? [] : [printable(`configuration not loaded anew: ${refused}`)])
  ]
}

function threads(all: readonly BrokerThread[]): string[] {
  const rest = all.length > MOST_THREADS ? [`... ${all.length - MOST_THREADS} others`] : []
  const rows = all.slice(0, MOST_THREADS).map(({ number, clients: count, driverConnections, busy, stuck }) =>
    [number, count, driverConnections, stuck ? 'HANGS' : busy ? 'busy' : 'idle']
  )
  return [...table(['THREAD', 'CLIENTS', 'DRIVER CONNECTIONS', 'STATE'], rows).split('\n'), ...rest]
}

function drivers({ drivers: { drivers: all, others } }: Sample): string[] {
  const hidden = Math.max(0, all.length - MOST_DRIVERS) + others.drivers
  const rows = all.slice(0, MOST_DRIVERS).map(({ driver, clients: count }) => [driver, count])
  return [...table(['DRIVER', 'CLIENTS'], rows).split('\n'), ...(hidden > 0 ? [`... ${hidden} others`] : [])]
}

function clients({ clients: all }: Sample, { sort, reverse, skipped }: Seen, room: number): string[] {
  if (room < 2) return []
  const sorted = [...all].sort((one, other) => compareBy(one, other, sort))
  if (reverse) sorted.reverse()
  const rows = sorted.slice(skipped, skipped + room - 1).map(client => {
    const { id, listener, user, state, thread, driver, calls, p99Us, inFlight, waiting, oldestMs, bytesIn, bytesOut } = client
    const oldest = oldestMs === undefined ? undefined : duration(1000 * oldestMs)
    const doing = [
      calls?.toFixed(1), p99Us === undefined ? undefined : duration(p99Us), inFlight, waiting, oldest,
      bytesIn === undefined ? undefined : amount(bytesIn), bytesOut === undefined ? undefined : amount(bytesOut)
    ]
    return [id, listener, from(client), user, ...doing, state, thread, driver]
  })
  return table(
    ['ID', 'LISTENER', 'FROM', 'USER', 'CALLS/S', 'P99', 'INFL', 'WAIT', 'OLDEST', 'IN/S', 'OUT/S', 'STATE', 'THREAD', 'DRIVER'], rows
  ).split('\n')
}

function compareBy(one: SampledClient, other: SampledClient, by: Order): number {
  if (by === 'calls' || by === 'p99Us') return (other[by] ?? 0) - (one[by] ?? 0) || one.id - other.id
  return compareValues(one[by], other[by])
}

function footer({ sort, reverse, paused, trouble }: Seen): string[] {
  const order = `by ${sort === 'p99Us' ? 'p99' : sort}${reverse ? ', the other way round' : ''}`
  const keys = `q quit   s sort (${order})   r reverse   space ${paused ? 'go on' : 'pause'}   arrows scroll`
  return [...(trouble === undefined ? [] : [printable(`!! ${trouble}`)]), keys]
}

const tenths = (value: number): string => value.toFixed(1)

/** What is sorted by after this. */
export const nextOrder = (sort: Order): Order => ORDERS[(ORDERS.indexOf(sort) + 1) % ORDERS.length]!
