import { BROKER, type BrokerProcedure, type ProcedureList } from '../../../protocol/messages/broker-admin.js'
import type { BrokerCommand } from '../command.js'
import { duration, table } from '../table.js'

export const procedures: BrokerCommand = {
  name: 'procedures',
  describes: 'list what is called, what takes most time first',
  run: async ({ link, show }) => { show((await link.call(BROKER.procedures)) as ProcedureList, text) }
}

const HEADINGS = ['PROCEDURE', 'DRIVER', 'CALLS', 'ERRORS', 'REFUSED', 'LOST', 'TIMEOUTS', 'SLOW', 'TOTAL', 'MEAN', 'P50', 'P99']

const text = ({ procedures: listed, others }: ProcedureList): string => {
  const rows = listed.map(row)
  const more = others === 0 ? '' : `\n${others} others, which took less`
  return table(HEADINGS, rows) + more
}

const row = ({ procedure, driver, calls, errors, refused, lost, timeouts, slow, timed, totalUs, p50Us, p99Us }: BrokerProcedure) => [
  procedure, driver, calls, errors, refused, lost, timeouts, slow, duration(totalUs),
  timed === 0 ? undefined : duration(totalUs / timed), p50Us === undefined ? undefined : duration(p50Us),
  p99Us === undefined ? undefined : duration(p99Us)
]
