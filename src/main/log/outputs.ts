import { closeSync, constants, openSync, writeSync } from 'node:fs'
import Transport from 'winston-transport'
import { EMSGSIZE, UnixDatagramSender } from '../../workers/os/datagram.js'
import { reasonOf } from '../../workers/os/libc.js'
import { withContext, type LogContext } from '../../workers/base/log.js'
import { StartupError } from '../config/startup-error.js'
import { levelNames, type Level, type LevelName, type LogOutput } from '../config/log-settings.js'
import { JOURNAL_SOCKET, PROGRAM } from '../config/paths.js'

/** What the logger hands to winston. */
export interface LogRecord {
  level: LevelName
  message: string
  source: string
  /** Whom it is about. */
  about?: LogContext | undefined
  /** Milliseconds since 1970. */
  time: number
}

/** The two lines with which every output begins. */
export type Preamble = readonly string[]

/** Where the log daemons listen. */
const SOCKETS = { syslog: '/dev/log', journal: JOURNAL_SOCKET }
/** A datagram of this size always fits the system's default socket buffer. */
const SAFE_DATAGRAM_BYTES = 64 * 1024
const STDERR = 2

/** Opens the place that an output names. Throws a StartupError when a file cannot be opened. */
export function openOutput(output: LogOutput, preamble: Preamble, sockets = SOCKETS): Transport {
  switch (output.to) {
    case 'stderr':
      return new LineOutput(output.level, STDERR, preamble)
    case 'file':
      return new LineOutput(output.level, openLogFile(output.path), preamble)
    case 'syslog':
      return new SyslogOutput(output.level, sockets.syslog, preamble, output.ident)
    case 'journald':
      return new JournalOutput(output.level, sockets.journal, preamble)
  }
}

/** A FIFO that nobody reads is refused; one that is full loses records, where the whole broker would wait. */
const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants

function openLogFile(path: string): number {
  try {
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  } catch (error) {
    throw new StartupError(`failed to open ${path}: ${reasonOf(error)}`)
  }
}

/** A winston transport that writes each record before `write` returns, so that nothing is lost when the process dies. */
abstract class Output extends Transport {
  #preamble: Preamble

  constructor(level: Level, preamble: Preamble) {
    super({ level: levelNames[level] })
    this.#preamble = preamble
  }

  override log(record: LogRecord, next: () => void): void {
    for (const message of this.#preamble) this.put({ level: 'info', message, source: '', time: record.time })
    this.#preamble = []
    this.put(record)
    next()
  }

  protected abstract put(record: LogRecord): void
}

/** stderr or a file. Written synchronously: a line is short, and log lines are rare by design. */
class LineOutput extends Output {
  #fd: number

  constructor(level: Level, fd: number, preamble: Preamble) {
    super(level, preamble)
    this.#fd = fd
  }

  protected override put(record: LogRecord): void {
    try {
      writeSync(this.#fd, `${formatTime(record.time)}: ${formatBody(record)}\n`)
    } catch {
      // The disk is full or the reader of the pipe is gone or slow: there is no place left to say so.
    }
  }

  override close(): void {
    if (this.#fd > STDERR) closeSync(this.#fd)
    // The number may belong to somebody else from now on.
    this.#fd = -1
  }
}

/** Priorities of syslog and of the journal. */
const PRIORITY: Readonly<Record<LevelName, number>> = { debug: 7, info: 6, warning: 4, error: 3 }
const FACILITY_DAEMON = 3

abstract class DatagramOutput extends Output {
  readonly #sender: UnixDatagramSender

  constructor(level: Level, path: string, preamble: Preamble) {
    super(level, preamble)
    this.#sender = new UnixDatagramSender(path)
  }

  protected override put(record: LogRecord): void {
    if (this.#sender.send(this.encode(record)) !== EMSGSIZE) return
    const message = `${Buffer.from(record.message).toString('utf8', 0, SAFE_DATAGRAM_BYTES / 2)} (cut)`
    this.#sender.send(this.encode({ ...record, message }))
  }

  override close(): void {
    this.#sender.close()
  }

  protected abstract encode(record: LogRecord): Buffer
}

class SyslogOutput extends DatagramOutput {
  constructor(
    level: Level,
    path: string,
    preamble: Preamble,
    readonly ident: string
  ) {
    super(level, path, preamble)
  }

  protected override encode(record: LogRecord): Buffer {
    const priority = FACILITY_DAEMON * 8 + PRIORITY[record.level]
    return Buffer.from(`<${priority}>${syslogTime(new Date(record.time))} ${this.ident}: ${formatBody(record)}`)
  }
}

class JournalOutput extends DatagramOutput {
  protected override encode(record: LogRecord): Buffer {
    return encodeJournalFields({
      MESSAGE: withContext(record.message, record.about),
      PRIORITY: String(PRIORITY[record.level]),
      SYSLOG_FACILITY: String(FACILITY_DAEMON),
      SYSLOG_IDENTIFIER: PROGRAM,
      ...(record.source === '' ? {} : { LIBVIRT_SOURCE: record.source }),
      ...contextFields(record.about)
    })
  }
}

/** The journal's native protocol: values with a line feed carry their length, the others end at the line's end. */
export function encodeJournalFields(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) => {
      if (!value.includes('\n')) return Buffer.from(`${name}=${value}\n`)
      const bytes = Buffer.from(value)
      const size = Buffer.alloc(8)
      size.writeBigUInt64LE(BigInt(bytes.length))
      return Buffer.concat([Buffer.from(`${name}\n`), size, bytes, Buffer.from('\n')])
    })
  )
}

/** `2026-11-22 11:15:01.650+0000`, always UTC. */
const formatTime = (time: number): string => new Date(time).toISOString().replace('T', ' ').replace('Z', '+0000')

const formatBody = ({ level, source, message, about }: LogRecord): string =>
  `${process.pid}: ${level} : ${source === '' ? '' : `${source} : `}${bounded(harmless(withContext(message, about)))}`

/** What the journal can be searched for. */
function contextFields({ client, driver }: LogContext = {}): Record<string, string> {
  return {
    ...(client !== undefined && { VIRTBROKER_CLIENT: String(client.id) }),
    ...(client?.from !== undefined && { VIRTBROKER_CLIENT_FROM: client.from }),
    ...(driver !== undefined && { VIRTBROKER_DRIVER: driver })
  }
}

const MAX_TEXT_CHARACTERS = 4096

const bounded = (text: string): string => (text.length <= MAX_TEXT_CHARACTERS ? text : `${text.slice(0, MAX_TEXT_CHARACTERS)} (cut)`)

/** Clients choose parts of messages: they must not be able to forge a line or to steer a terminal. */
const harmless = (message: string): string =>
  message.replace(/[\x00-\x1f\x7f-\x9f]/g, char =>
    char === '\n' ? '\n    ' : char === '\t' ? char : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  )

/** `Nov  2 11:15:01` in local time, which is what syslog daemons expect on their socket. */
function syslogTime(time: Date): string {
  const month = time.toLocaleString('en-US', { month: 'short' })
  return `${month} ${String(time.getDate()).padStart(2)} ${time.toTimeString().slice(0, 8)}`
}
