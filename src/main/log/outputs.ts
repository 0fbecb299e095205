import { closeSync, constants, openSync, writeSync } from 'node:fs'
import Transport from 'winston-transport'
import { levelOf, SOURCE } from '../../workers/base/log.js'
import { UnixDatagramSender } from '../../workers/os/datagram.js'
import { reasonOf } from '../../workers/os/libc.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import { levelNames, type Level, type LogFormat, type LogOutput } from '../config/log-settings.js'
import { JOURNAL_SOCKET } from '../config/paths.js'
import { FACILITY_DAEMON, journalEntry, PRIORITY } from './journal.js'
import { lineOf, textBody } from './lines.js'
import type { LogRecord } from './record.js'
import { openStandardError, STDERR } from './standard-error.js'

/** The two lines with which every output begins. */
export type Preamble = readonly string[]

/** Where the log daemons listen. */
const SOCKETS = { syslog: '/dev/log', journal: JOURNAL_SOCKET }
/** Whether a reader that took nothing takes something again is tried so often, where nothing else is to be written. */
const RETRY_MS = 10_000

/** Opens the place that an output names. It says `lost` for each record that is. Throws a StartupError when a file cannot be opened. */
export function openOutput(output: LogOutput, format: LogFormat, preamble: Preamble, sockets = SOCKETS): Transport {
  switch (output.to) {
    case 'stderr':
      return new LineOutput(output.level, openStandardError(), format, preamble)
    case 'file':
      return new LineOutput(output.level, openLogFile(output.path), format, preamble)
    case 'syslog':
      return new DatagramOutput(output.level, sockets.syslog, preamble, record => syslogLine(record, output.ident))
    case 'journald':
      return new DatagramOutput(output.level, sockets.journal, preamble, journalEntry)
  }
}

/** A FIFO that nobody reads is refused; one that is full loses records, where the whole broker would wait. */
const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants

function openLogFile(path: string): number {
  try {
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  } catch (error) {
    throw new StartupError(`failed to open ${path}: ${reasonOf(error)}`, EXIT.failure, -((error as NodeJS.ErrnoException).errno ?? 0))
  }
}

/**
 * A winston transport that writes each record before `write` returns, so that nothing is lost when the process dies. A
 * record that its reader does not take at once is lost, and counted.
 */
abstract class Output extends Transport {
  #preamble: Preamble
  #lost = 0
  #retry: NodeJS.Timeout | undefined

  constructor(level: Level, preamble: Preamble) {
    super({ level: levelNames[level] })
    this.#preamble = preamble
  }

  override log(record: LogRecord, next: () => void): void {
    for (const message of this.#preamble) this.#put(ownRecord(record.time, message))
    this.#preamble = []
    this.#put(record)
    next()
  }

  override close(): void {
    this.#tellLost()
    clearTimeout(this.#retry)
    this.free()
  }

  /** False: it was not taken. */
  protected abstract put(record: LogRecord): boolean
  protected abstract free(): void

  #put(record: LogRecord): void {
    if (this.#tellLost() && this.put(record)) return
    this.#lost++
    this.emit('lost')
    this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY_MS).unref()
  }

  #tryAgain(): void {
    this.#retry = this.#tellLost() ? undefined : setTimeout(() => this.#tryAgain(), RETRY_MS).unref()
  }

  /** Whether there is nothing to be told any more. */
  #tellLost(): boolean {
    if (this.#lost === 0) return true
    const kind = 'log-lost'
    const record = ownRecord(Date.now(), `${this.#lost} lines of the log were lost here, they could not be written`)
    if (!this.put({ ...record, level: levelOf(kind), source: SOURCE.daemon, kind })) return false
    this.#lost = 0
    return true
  }
}

const ownRecord = (time: number, message: string): LogRecord =>
  ({ level: 'info', kind: undefined, source: '', message, about: {}, time })

/** stderr or a file. Written synchronously: a line is short, and log lines are rare by design. */
class LineOutput extends Output {
  #fd: number
  readonly #format: LogFormat
  /** Of the last line only a part was taken. */
  #torn = false

  constructor(level: Level, fd: number, format: LogFormat, preamble: Preamble) {
    super(level, preamble)
    this.#fd = fd
    this.#format = format
  }

  protected override put(record: LogRecord): boolean {
    const line = Buffer.from(`${this.#torn ? '\n' : ''}${lineOf[this.#format](record)}\n`)
    try {
      const written = writeSync(this.#fd, line)
      this.#torn = written < line.length
      return !this.#torn
    } catch {
      // The disk is full, or the reader of the pipe is gone or slow.
      return false
    }
  }

  protected override free(): void {
    const fd = this.#fd
    // The number may belong to somebody else from now on.
    this.#fd = -1
    try {
      if (fd > STDERR) closeSync(fd)
    } catch {
      // Disks of other hosts may say now that they have not kept what was written: it is closed all the same.
    }
  }
}

/** A log daemon. Its socket is connected anew when it was restarted. */
class DatagramOutput extends Output {
  readonly #sender: UnixDatagramSender
  readonly #encode: (record: LogRecord) => Buffer

  constructor(level: Level, path: string, preamble: Preamble, encode: (record: LogRecord) => Buffer) {
    super(level, preamble)
    this.#sender = new UnixDatagramSender(path)
    this.#encode = encode
  }

  protected override put(record: LogRecord): boolean {
    return this.#sender.send(this.#encode(record)) === 0
  }

  protected override free(): void {
    this.#sender.close()
  }
}

const syslogLine = (record: LogRecord, ident: string): Buffer =>
  Buffer.from(`<${FACILITY_DAEMON * 8 + PRIORITY[record.level]}>${syslogTime(new Date(record.time))} ${ident}: ${textBody(record)}`)

/** `Nov  2 11:15:01` in local time, which is what syslog daemons expect on their socket. */
function syslogTime(time: Date): string {
  const month = time.toLocaleString('en-US', { month: 'short' })
  return `${month} ${String(time.getDate()).padStart(2)} ${time.toTimeString().slice(0, 8)}`
}
