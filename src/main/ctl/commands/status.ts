import { BROKER, type BrokerStatus } from '../../../protocol/messages/broker-admin.js'
import type { BrokerCommand } from '../command.js'
import { dateAndTime, table } from '../table.js'

export const status: BrokerCommand = {
  name: 'status',
  describes: 'say how the broker is',
  run: async ({ link, show }) => { show((await link.call(BROKER.status)) as BrokerStatus, text) }
}

const text = (
  { version, pid, state, since, clients, unauthenticated, adminClients, driverConnections, threads, refused }: BrokerStatus
): string =>
  table(['virtbrokerd', version], [
    ['process', pid],
    ['state', state],
    ['since', dateAndTime(since)],
    ['clients', `${clients}, ${unauthenticated} of them not logged in`],
    ['admin clients', adminClients],
    ['driver connections', driverConnections],
    ['threads', `${threads.serving} serve, ${threads.idle} of them have time left (${threads.min} to ${threads.max} wanted)`],
    ...(refused === undefined ? [] : [['configuration', `not loaded anew: ${refused}`]])
  ])
