import { invalidArgument } from '../../protocol/bad-arguments.js'
import { DOMAIN } from '../../protocol/errors.js'
import type { BrokerLog, FollowedLines } from '../../protocol/messages/broker-admin.js'
import {
  filtersText, LEVEL, levelNames, outputsText, parseFilters, parseOutputs, type LevelName, type LogSettings
} from '../config/log-settings.js'
import type { FollowedLog } from '../log/followed-log.js'
import { page } from './client-lists.js'
import { asRemote } from './failures.js'
import { wholeNumber, type JsonArguments } from './json-procedure.js'
import type { BrokerControl } from './ports.js'

/** Changes what is wanted, all or nothing, and tells what is in use then. */
export async function log(control: Pick<BrokerControl, 'log' | 'changeLog'>, wanted: JsonArguments): Promise<BrokerLog> {
  const change = logChange(wanted)
  if (Object.keys(change).length > 0) {
    await control.changeLog(change).catch((error: unknown) => Promise.reject(asRemote(error, DOMAIN.none) as Error))
  }
  const { level, filters, outputs } = control.log
  return { level: levelNames[level], filters: filtersText(filters).trim(), outputs: outputsText(outputs) }
}

/** Throws RemoteError. */
function logChange({ level, filters, outputs }: JsonArguments): Partial<LogSettings> {
  if (level !== undefined && !(typeof level === 'string' && Object.hasOwn(LEVEL, level))) throw invalidArgument('there is no such level')
  try {
    return {
      ...(level !== undefined && { level: LEVEL[level as LevelName] }),
      ...(typeof filters === 'string' && { filters: parseFilters(filters) }),
      ...(typeof outputs === 'string' && { outputs: parseOutputs(outputs) })
    }
  } catch (error) {
    throw asRemote(error, DOMAIN.none)
  }
}

/** Without a number, only where the log is now. */
export function followed(log: FollowedLog, after: unknown): FollowedLines {
  const last = log.follow()
  if (after === undefined) return { lines: [], last, lost: 0, more: false }
  const number = wholeNumber(after, 'after')
  const { items, more } = page(log.after(number))
  const first = items[0]?.[0] ?? last + 1
  return { lines: items.map(([, line]) => line), last: items.at(-1)?.[0] ?? last, lost: Math.max(0, first - 1 - number), more }
}
