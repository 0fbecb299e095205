import { setTimeout as pause } from 'node:timers/promises'
import { Option } from 'commander'
import { BROKER, type BrokerLog, type FollowedLines } from '../../../protocol/messages/broker-admin.js'
import { withContext, type LogContext } from '../../../workers/base/log.js'
import type { BrokerCommand, Run } from '../command.js'
import { printable } from '../printable.js'
import { dateAndTime, table } from '../table.js'

const POLL_MS = 250

interface Wanted extends Partial<BrokerLog> {
  readonly follow?: boolean
}

/** A line of the log, as it is with `log_format = "json"`. */
interface Line extends LogContext {
  readonly time: string
  readonly level: string
  readonly source?: string
  readonly message: string
}

export const log: BrokerCommand = {
  name: 'log',
  describes: 'show or change what is logged, or show lines as they come',
  define: command =>
    void command
      .addOption(new Option('--level <level>', 'log from this level on').choices(['debug', 'info', 'warning', 'error']))
      .option('--filters <filters>', 'as log_filters in the configuration')
      .option('--outputs <outputs>', 'as log_outputs in the configuration')
      .option('--follow', 'show each line that is logged from now on'),
  run: async run => {
    const { follow: isFollowed, level, filters, outputs } = run.options as Wanted
    const inUse = (await run.link.call(BROKER.log, { level, filters, outputs })) as BrokerLog
    if (isFollowed !== true) run.show(inUse, text)
    else await follow(run)
  }
}

const text = ({ level, filters, outputs }: BrokerLog): string =>
  table(['level', level], [['filters', filters === '' ? undefined : filters], ['outputs', outputs]])

/** Until the broker ends, or we do. */
async function follow({ link, showLine }: Run): Promise<never> {
  let { last } = (await link.call(BROKER.follow)) as FollowedLines
  for (;;) {
    const come = (await link.call(BROKER.follow, { after: last })) as FollowedLines
    if (come.lost > 0) showLine({ lost: come.lost }, ({ lost }) => `(${lost} lines lost)`)
    for (const line of come.lines) showLine(JSON.parse(line) as Line, lineText)
    last = come.last
    if (!come.more) await pause(POLL_MS)
  }
}

function lineText({ time, level, source = '', message, ...about }: Line): string {
  return `${dateAndTime(Date.parse(time))} ${level} ${printable(`${source}: ${withContext(message, about)}`)}`
}
