import { BROKER, type BrokerSlowCall, type SlowCallList } from '../../../protocol/messages/broker-admin.js'
import type { BrokerCommand } from '../command.js'
import { dateAndTime, duration, table } from '../table.js'

export const slow: BrokerCommand = {
  name: 'slow',
  describes: 'list the last calls that took long (slow_call_ms), the latest last',
  run: async ({ link, show }) => { show((await link.call(BROKER.slow)) as SlowCallList, text) }
}

const text = ({ calls, slowCallMs }: SlowCallList): string => {
  const rows = calls.map(row)
  const off = slowCallMs === 0 ? '\nslow_call_ms is 0: none is noted of clients that come now' : ''
  return table(['ENDED', 'CLIENT', 'FROM', 'PROCEDURE', 'OBJECT', 'DRIVER', 'CODE', 'WAITED', 'WITH DAEMON'], rows) + off
}

const row = ({ at, client, from, procedure, object, driver, code, queuedUs, driverUs }: BrokerSlowCall) => [
  dateAndTime(at), client, from, procedure, object, driver, code === 0 ? undefined : code, duration(queuedUs), duration(driverUs)
]
