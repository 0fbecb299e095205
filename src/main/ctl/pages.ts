import { BROKER, type BrokerClient, type ClosedBrokerClient } from '../../protocol/messages/broker-admin.js'
import { Refused, type AdminLink } from './admin-link.js'

/** `most`: pages that are asked for; a broker with very many clients has more. Rejects with Unreachable or Refused. */
export const allClients = (link: AdminLink, most = Infinity): Promise<BrokerClient[]> =>
  pages<BrokerClient>(link, BROKER.clients, ({ id }) => id, most)

export const closedClients = (link: AdminLink): Promise<ClosedBrokerClient[]> =>
  pages<ClosedBrokerClient>(link, BROKER.closed, ({ number }) => number, Infinity)

async function pages<Item>(link: AdminLink, proc: number, numberOf: (item: Item) => number, most: number): Promise<Item[]> {
  const all: Item[] = []
  for (let count = 0, more = true; more && count < most; count++) {
    const last = all.at(-1)
    const page = (await link.call(proc, { after: last === undefined ? 0 : numberOf(last) })) as { clients: Item[]; more: boolean }
    if (page.more && page.clients.length === 0) throw new Refused('the broker has sent an empty page')
    all.push(...page.clients)
    more = page.more
  }
  return all
}
