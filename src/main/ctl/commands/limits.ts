import { BROKER, type BrokerLimits } from '../../../protocol/messages/broker-admin.js'
import { wholeNumber, type BrokerCommand } from '../command.js'
import { table } from '../table.js'

export const limits: BrokerCommand = {
  name: 'limits',
  describes: 'show or change how many clients there may be',
  define: command =>
    void command
      .option('--max-clients <n>', 'clients at a time', wholeNumber)
      .option('--max-unauth-clients <n>', 'of them, those that are not logged in', wholeNumber),
  run: async ({ link, options: { maxClients, maxUnauthClients }, show }) => {
    const result = await link.call(BROKER.limits, { maxClients, maxAnonymousClients: maxUnauthClients })
    show(result as BrokerLimits, text)
  }
}

const text = ({ maxClients, maxAnonymousClients }: BrokerLimits): string =>
  table(['clients', String(maxClients)], [['not logged in', maxAnonymousClients]])
