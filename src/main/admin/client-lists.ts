import type {
  BrokerClient, BusyBrokerClient, BusyClients, ClientPage, ClosedBrokerClient, ClosedPage, DriverConnectionPage, DriverList, OpenedDriver
} from '../../protocol/messages/broker-admin.js'
import type { BusyReport } from '../../workers/thread/busy-report.js'
import type { ConnectionPage } from '../../workers/thread/driver-report.js'
import type { Client, Clients } from '../clients/clients.js'
import type { ClosedClients } from '../clients/closed-clients.js'
import { summaryOf, type ClientSummary, type Summarised } from '../clients/summary.js'

/** Of a page, as JSON: it is made within a turn of the supervisor's loop, and its frame must not be too long. */
const MAX_PAGE_CHARACTERS = 128 * 1024
const MAX_DRIVERS = 256

/** Those that came in after the one with that id, as many as there is room for. `all`: in the order of their ids. */
export const pageOf = (all: Iterable<Summarised>, after: number): ClientPage => clientPage(shownAfter(all, after))

/** Those that went after the one with that number. */
export const closedPageOf = (closed: ClosedClients, after: number): ClosedPage => clientPage(shownClosed(closed, after))

function* shownAfter(all: Iterable<Summarised>, after: number): Generator<BrokerClient> {
  for (const client of all) if (client.id > after) yield shown(summaryOf(client))
}

function* shownClosed(clients: ClosedClients, after: number): Generator<ClosedBrokerClient> {
  for (const client of clients.after(after)) {
    const { number, closed, reason } = client
    yield { ...shown(client), number, closed, reason }
  }
}

function clientPage<Item>(all: Iterable<Item>): { clients: Item[]; more: boolean } {
  const { items, more } = page(all)
  return { clients: items, more }
}

/** As many as there is room for. */
export function page<Item>(all: Iterable<Item>): { items: Item[]; more: boolean } {
  const items: Item[] = []
  let characters = 0
  for (const item of all) {
    characters += JSON.stringify(item).length
    if (characters > MAX_PAGE_CHARACTERS) return { items, more: true }
    items.push(item)
  }
  return { items, more: false }
}

const shown = ({ id, since, listener, peer, pid, user, state, opened, thread }: ClientSummary): BrokerClient => ({
  id,
  since,
  listener: listener.name,
  transport: listener.transport,
  readonly: listener.readonly,
  peer,
  pid,
  user,
  state,
  driver: opened,
  thread
})

/** Of all threads. Those that have gone meanwhile are left out. */
export function busiestOf(
  told: readonly { thread: number; report: BusyReport | 'silent' }[], clients: Pick<Clients, 'get'>
): BusyClients {
  const silent: number[] = []
  const busy: BusyBrokerClient[] = []
  for (const { thread, report } of told) {
    if (report === 'silent') {
      silent.push(thread)
      continue
    }
    const perSecond = (count: number): number => (report.ms === 0 ? 0 : Math.round((10_000 * count) / report.ms) / 10)
    for (const { id, calls, bytesIn, bytesOut, ...rest } of report.clients) {
      const client = clients.get(id)
      if (client === undefined) continue
      const rates = { calls: perSecond(calls), bytesIn: perSecond(bytesIn), bytesOut: perSecond(bytesOut) }
      busy.push({ ...shown(summaryOf(client)), ...rates, ...rest })
    }
  }
  busy.sort((one, other) => other.calls - one.calls)
  return { clients: page(busy).items, silent }
}

/** Of a thread that is gone there are none. */
export function connectionsOf(told: ConnectionPage | 'silent' | undefined): DriverConnectionPage {
  if (told === undefined || told === 'silent') return { connections: [], more: false, silent: told === 'silent' }
  const { items, more } = page(told.connections)
  return { connections: items, more: more || told.more, silent: false }
}

/** By the number of clients. Beyond so many drivers the rest is summed up: clients choose what they open. */
export function driversOf(clients: Iterable<Pick<Client, 'opened'>>): DriverList {
  const counts = new Map<string, number>()
  for (const { opened } of clients) if (opened !== undefined) counts.set(opened, (counts.get(opened) ?? 0) + 1)
  const all: OpenedDriver[] = Array.from(counts, ([driver, number]) => ({ driver, clients: number }))
  all.sort((one, other) => other.clients - one.clients)
  const others = all.slice(MAX_DRIVERS)
  return {
    drivers: all.slice(0, MAX_DRIVERS),
    others: { drivers: others.length, clients: others.reduce((sum, { clients: number }) => sum + number, 0) }
  }
}
