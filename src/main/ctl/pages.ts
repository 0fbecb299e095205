import {
  BROKER, type BrokerClient, type BrokerDriverConnection, type BrokerStatus, type ClientPage, type ClosedBrokerClient,
  type ClosedPage, type DriverConnectionPage
} from '../../protocol/messages/broker-admin.js'
import { Refused, type AdminLink } from './admin-link.js'

/** `most`: pages that are asked for; a broker with very many clients has more. Rejects with Unreachable or Refused. */
export const allClients = (link: AdminLink, most = Infinity): Promise<BrokerClient[]> =>
  pages(async after => {
    const { clients, more } = (await link.call(BROKER.clients, { after })) as ClientPage
    return { items: clients, more }
  }, ({ id }) => id, most)

export const closedClients = (link: AdminLink): Promise<ClosedBrokerClient[]> =>
  pages(async after => {
    const { clients, more } = (await link.call(BROKER.closed, { after })) as ClosedPage
    return { items: clients, more }
  }, ({ number }) => number)

/** With the thread that has it. */
export type ShownConnection = BrokerDriverConnection & { thread: number }

/** Connections to driver daemons, and the threads that do not tell of theirs. Rejects with Unreachable or Refused. */
export async function allConnections(link: AdminLink): Promise<{ connections: ShownConnection[]; silent: number[] }> {
  const { perThread } = (await link.call(BROKER.status)) as BrokerStatus
  const connections: ShownConnection[] = []
  const silent: number[] = []
  for (const { number: thread } of perThread) {
    const found = await pages(async after => {
      const page = (await link.call(BROKER.connections, { thread, after })) as DriverConnectionPage
      if (page.silent) silent.push(thread)
      return { items: page.connections, more: page.more }
    }, ({ connection }) => connection)
    connections.push(...found.map(connection => ({ thread, ...connection })))
  }
  return { connections, silent }
}

interface Page<Item> {
  items: Item[]
  more: boolean
}

async function pages<Item>(
  ask: (after: number) => Promise<Page<Item>>, numberOf: (item: Item) => number, most = Infinity
): Promise<Item[]> {
  const all: Item[] = []
  for (let count = 0, more = true; more && count < most; count++) {
    const last = all.at(-1)
    const page = await ask(last === undefined ? 0 : numberOf(last))
    if (page.more && page.items.length === 0) throw new Refused('the broker has sent an empty page')
    all.push(...page.items)
    more = page.more
  }
  return all
}
