import { BROKER, type DriverList } from '../../../protocol/messages/broker-admin.js'
import type { BrokerCommand } from '../command.js'
import { allConnections, type ShownConnection } from '../pages.js'
import { duration, table } from '../table.js'

interface Shown extends DriverList {
  readonly connections: readonly ShownConnection[]
  /** Threads that do not tell of theirs. */
  readonly silent: readonly number[]
}

export const drivers: BrokerCommand = {
  name: 'drivers',
  describes: 'list what clients have opened, and the connections to driver daemons',
  run: async ({ link, show }) => {
    const list = (await link.call(BROKER.drivers)) as DriverList
    show({ ...list, ...(await allConnections(link)) }, text)
  }
}

const text = ({ drivers: listed, others, connections, silent }: Shown): string =>
  [
    table(['DRIVER', 'CLIENTS'], [
      ...listed.map(({ driver, clients }) => [driver, clients]),
      ...(others.drivers === 0 ? [] : [[`${others.drivers} others`, others.clients]])
    ]),
    '',
    table(['THREAD', 'NUMBER', 'KIND', 'SOCKET', 'NAME', 'ACCESS', 'IDENTITY', 'CLIENTS', 'CALLS', 'OLDEST', 'WHY'], connections.map(row)),
    ...silent.map(thread => `thread ${thread} does not answer`)
  ].join('\n')

const row = (shown: ShownConnection) => {
  const { thread, connection, kind, socket, name, readonly, identity, client, clients, calls, maxCalls, oldestMs, why } = shown
  return [
    thread, connection, kind, socket, name, readonly ? 'ro' : 'rw', identity, clients, `${calls}/${maxCalls}`,
    oldestMs === undefined ? undefined : duration(1000 * oldestMs), client === undefined ? undefined : `client ${client}: ${why}`
  ]
}
