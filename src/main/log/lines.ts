import { withContext } from '../../workers/base/log.js'
import type { LogFormat } from '../config/log-settings.js'
import { boundedMessage, contextFields, harmless, type LogRecord } from './record.js'

/** A record as virtproxyd writes it, without its time: further lines are indented, so that nobody can forge one. */
export const textBody = ({ level, source, message, about }: LogRecord): string => {
  const text = boundedMessage(harmless(withContext(message, about)).replaceAll('\n', '\n    '))
  return `${process.pid}: ${level} : ${source === '' ? '' : `${source} : `}${text}`
}

/** `2026-11-22 11:15:01.650+0000`, always UTC. */
const textTime = (time: number): string => new Date(time).toISOString().replace('T', ' ').replace('Z', '+0000')

const textLine = (record: LogRecord): string => `${textTime(record.time)}: ${textBody(record)}`

/** Legal in JSON as they are, and yet lines and commands to those who print them. */
const UNESCAPED = /[\x7f-\x9f\u2028\u2029]/g

function jsonLine(record: LogRecord): string {
  const { time, level, source, kind, message } = record
  const fields = {
    time: new Date(time).toISOString(),
    level,
    source: source === '' ? undefined : source,
    kind,
    message: boundedMessage(message),
    ...Object.fromEntries(contextFields(record))
  }
  return JSON.stringify(fields).replace(UNESCAPED, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Without a line feed at the end. */
export const lineOf: Readonly<Record<LogFormat, (record: LogRecord) => string>> = { text: textLine, json: jsonLine }
