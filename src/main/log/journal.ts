import { withContext } from '../../workers/base/log.js'
import { MESSAGE_KINDS } from '../../workers/base/log-kinds.js'
import type { LevelName } from '../config/log-settings.js'
import { PROGRAM } from '../config/paths.js'
import { boundedMessage, contextFields, harmless, type LogRecord } from './record.js'

/** Priorities of syslog and of the journal. */
export const PRIORITY: Readonly<Record<LevelName, number>> = { debug: 7, info: 6, warning: 4, error: 3 }
export const FACILITY_DAEMON = 3

/**
 * A record in the journal's native protocol, with libvirt's fields and our own. All are bounded, so that they fit a
 * datagram: the way round by a file is for those that do not.
 */
export function journalEntry(record: LogRecord): Buffer {
  const { level, source, kind, message, about } = record
  return encodeJournalFields([
    ['MESSAGE', boundedMessage(harmless(withContext(message, about)))],
    ...(kind === undefined ? [] : [['MESSAGE_ID', MESSAGE_KINDS[kind].id], ['VIRTBROKER_KIND', kind]] as const),
    ['PRIORITY', PRIORITY[level]],
    ['SYSLOG_FACILITY', FACILITY_DAEMON],
    ['SYSLOG_IDENTIFIER', PROGRAM],
    ...(source === '' ? [] : [['LIBVIRT_SOURCE', source]] as const),
    ...contextFields(record).map(([name, value]) => [`VIRTBROKER_${name.toUpperCase()}`, value] as const)
  ])
}

/** Values with a line feed carry their length, the others end at the line's end. */
export function encodeJournalFields(fields: readonly (readonly [name: string, value: string | number])[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => encodeField(name, String(value))))
}

function encodeField(name: string, value: string): Buffer {
  if (!value.includes('\n')) return Buffer.from(`${name}=${value}\n`)
  const bytes = Buffer.from(value)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(bytes.length))
  return Buffer.concat([Buffer.from(`${name}\n`), size, bytes, Buffer.from('\n')])
}
