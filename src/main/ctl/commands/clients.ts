import { Option } from 'commander'
import type { BrokerClient, ClosedBrokerClient } from '../../../protocol/messages/broker-admin.js'
import { compareValues, from, SORTED_BY } from '../client-order.js'
import type { BrokerCommand } from '../command.js'
import { allClients, closedClients } from '../pages.js'
import { dateAndTime, table } from '../table.js'

const ORDERS = [...SORTED_BY, 'closed', 'reason'] as const

type Order = (typeof ORDERS)[number]
type Shown = BrokerClient & Partial<ClosedBrokerClient>

export interface WantedClients {
  readonly sort?: Order
  readonly reverse?: boolean
  readonly closed?: boolean
  readonly state?: string
  readonly user?: string
  readonly listener?: string
  readonly driver?: string
  readonly from?: string
}

export const clients: BrokerCommand = {
  name: 'clients',
  describes: 'list the clients',
  define: command =>
    void command
      .addOption(new Option('--sort <field>', 'by this').choices(ORDERS))
      .option('--reverse', 'the other way round')
      .option('--state <state>', 'only those in this state')
      .option('--user <name>', 'only those of this user')
      .option('--listener <name>', 'only those of this listener')
      .option('--driver <uri>', 'only those that have opened this')
      .option('--from <address>', 'only those from this address')
      .option('--closed', 'those that went last, and why'),
  run: async ({ link, options, show }) => {
    const wanted = options as WantedClients
    const all = wanted.closed === true ? await closedClients(link) : await allClients(link)
    show(chosen(all, wanted), wanted.closed === true ? closedText : text)
  }
}

/** Those that are wanted, in the order that is wanted: without one as they came, or went. */
export function chosen(all: readonly Shown[], wanted: WantedClients): Shown[] {
  const { sort, reverse, from: address } = wanted
  const found = all.filter(client =>
    (['state', 'user', 'listener', 'driver'] as const).every(field => wanted[field] === undefined || client[field] === wanted[field]) &&
    (address === undefined || addressOf(client) === address)
  )
  if (sort !== undefined) found.sort((one, other) => compareValues(one[sort], other[sort]))
  return reverse === true ? found.reverse() : found
}

/** Without port and brackets. */
const addressOf = ({ peer }: Shown): string | undefined => peer?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')

const text = (shown: readonly Shown[]): string =>
  table(
    ['ID', 'SINCE', 'LISTENER', 'FROM', 'USER', 'STATE', 'THREAD', 'DRIVER'],
    shown.map(client => {
      const { id, since, listener, user, state, thread, driver } = client
      return [id, dateAndTime(since), listener, from(client), user, state, thread, driver]
    })
  )

const closedText = (shown: readonly Shown[]): string =>
  table(
    ['ID', 'SINCE', 'CLOSED', 'LISTENER', 'FROM', 'USER', 'DRIVER', 'REASON'],
    shown.map(client => {
      const { id, since, closed, listener, user, driver, reason } = client
      return [id, dateAndTime(since), dateAndTime(closed ?? 0), listener, from(client), user, driver, reason]
    })
  )
