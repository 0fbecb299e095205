import { BROKER, type BrokerLimits, type WantedLimits } from '../../../protocol/messages/broker-admin.js'
import { wholeNumber, type BrokerCommand } from '../command.js'
import { table } from '../table.js'

interface Wanted {
  readonly admin?: boolean
  readonly maxClients?: number
  readonly maxUnauthClients?: number
}

export const limits: BrokerCommand = {
  name: 'limits',
  describes: 'show or change how many clients there may be',
  define: command =>
    void command
      .option('--max-clients <n>', 'clients at a time', wholeNumber)
      .option('--max-unauth-clients <n>', 'of them, those that are not logged in', wholeNumber)
      .option('--admin', 'those of the admin socket'),
  run: async ({ link, options, show }) => {
    const { admin, maxClients, maxUnauthClients } = options as Wanted
    const wanted = { of: admin === true ? 'admin' : 'broker', maxClients, maxAnonymousClients: maxUnauthClients }
    show((await link.call(BROKER.limits, wanted satisfies Partial<Record<keyof WantedLimits, unknown>>)) as BrokerLimits, text)
  }
}

const text = ({ maxClients, maxAnonymousClients, clients, unauthenticated }: BrokerLimits): string =>
  table(['', 'MOST', 'NOW'], [['clients', maxClients, clients], ['not logged in', maxAnonymousClients, unauthenticated]])
