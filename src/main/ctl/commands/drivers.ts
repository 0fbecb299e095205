import { BROKER, type DriverList } from '../../../protocol/messages/broker-admin.js'
import type { BrokerCommand } from '../command.js'
import { table } from '../table.js'

export const drivers: BrokerCommand = {
  name: 'drivers',
  describes: 'list what clients have opened',
  run: async ({ link, show }) => { show((await link.call(BROKER.drivers)) as DriverList, text) }
}

const text = ({ drivers: listed, others }: DriverList): string =>
  table(['DRIVER', 'CLIENTS'], [
    ...listed.map(({ driver, clients }) => [driver, clients]),
    ...(others.drivers === 0 ? [] : [[`${others.drivers} others`, others.clients]])
  ])
