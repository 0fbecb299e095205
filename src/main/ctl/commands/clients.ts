import { Option } from 'commander'
import { BROKER, type BrokerClient, type ClientPage } from '../../../protocol/messages/broker-admin.js'
import type { AdminLink } from '../admin-link.js'
import type { BrokerCommand } from '../command.js'
import { dateAndTime, table } from '../table.js'

const SORTED_BY = ['id', 'since', 'listener', 'peer', 'user', 'state', 'driver', 'thread'] as const

type SortedBy = (typeof SORTED_BY)[number]

interface Wanted {
  readonly sort: SortedBy
  readonly state?: string
  readonly user?: string
}

export const clients: BrokerCommand = {
  name: 'clients',
  describes: 'list the clients',
  define: command =>
    void command
      .addOption(new Option('--sort <field>', 'by this').choices(SORTED_BY).default('id'))
      .option('--state <state>', 'only those in this state')
      .option('--user <name>', 'only those of this user'),
  run: async ({ link, options, show }) => {
    const { sort, state, user } = options as unknown as Wanted
    const wanted = (await allClients(link))
      .filter(client => (state === undefined || client.state === state) && (user === undefined || client.user === user))
      .sort((one, other) => compare(one[sort], other[sort]))
    show(wanted, text)
  }
}

async function allClients(link: AdminLink): Promise<BrokerClient[]> {
  const all: BrokerClient[] = []
  for (;;) {
    const { clients: some, more } = (await link.call(BROKER.clients, { after: all.at(-1)?.id ?? 0 })) as ClientPage
    all.push(...some)
    if (!more) return all
  }
}

const text = (shown: readonly BrokerClient[]): string =>
  table(
    ['ID', 'SINCE', 'LISTENER', 'FROM', 'USER', 'STATE', 'THREAD', 'DRIVER'],
    shown.map(({ id, since, listener, peer, pid, user, state, thread, driver }) =>
      [id, dateAndTime(since), listener, peer ?? (pid === undefined ? undefined : `pid ${pid}`), user, state, thread, driver]
    )
  )

function compare(one: BrokerClient[SortedBy], other: BrokerClient[SortedBy]): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other
  return String(one ?? '').localeCompare(String(other ?? ''))
}
