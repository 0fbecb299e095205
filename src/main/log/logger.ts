import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { isatty } from 'node:tty'
import { isDeepStrictEqual } from 'node:util'
import { createLogger, format } from 'winston'
import type Transport from 'winston-transport'
import { compileGlob } from '../../protocol/glob.js'
import { reasonOf } from '../../workers/os/libc.js'
import { makeDirectory } from '../../workers/os/make-directory.js'
import {
  defaultOutput,
  LEVEL,
  type Level,
  type LogFilter,
  type LogFormat,
  type LogOutput,
  type LogSettings
} from '../config/log-settings.js'
import { StartupError } from '../config/startup-error.js'
import { JOURNAL_SOCKET, type Paths } from '../config/paths.js'
import { FollowedLog } from './followed-log.js'
import { openOutput } from './outputs.js'
import { Repeats } from './repeats.js'
import { version } from '../config/version.js'
import { levelOf, type LogContext } from '../../workers/base/log.js'
import type { LogKind } from '../../workers/base/log-kinds.js'

/**
 * The broker's log. `source` names the part that speaks, in libvirt's terms (`rpc.netserver`, `daemon.virtproxyd`, …),
 * so that filters written for virtproxyd go on working. Rules and outputs can be changed while it runs.
 */
export class Logger {
  #level: Level
  #filters: readonly LogFilter[] = []
  /** One for each of them: whether a source fits. */
  #fits: readonly ((source: string) => boolean)[] = []
  #outputs: readonly LogOutput[] = []
  #format: LogFormat
  #transports: readonly Transport[] = []
  readonly #fallback: (level: Level) => LogOutput
  /** Level from which a source is heard, kept per source until the rules change. */
  readonly #thresholds = new Map<string, Level>()
  readonly #winston = createLogger({
    levels: { error: 0, warning: 1, info: 2, debug: 3 },
    level: 'debug',
    // Each output has its own form; winston's default would turn every record into JSON first.
    format: format(record => record)()
  })

  readonly followed = new FollowedLog()
  readonly #repeats = new Repeats(
    record => {
      this.#winston.log(record)
      this.followed.add(record)
    },
    () => this.onSuppressed('repeated')
  )
  /** Is told of each line that is not written, because it says the same as the one before, or was not taken. */
  onSuppressed: (why: 'repeated' | 'lost') => void = () => undefined

  /** `fallback` is the output to be used when none is set. Throws a StartupError when an output cannot be opened. */
  constructor(settings: LogSettings, fallback: (level: Level) => LogOutput = level => ({ level, to: 'stderr' })) {
    this.#level = settings.level
    this.#format = settings.format
    this.#fallback = fallback
    // An output that fails must not end the broker.
    this.#winston.on('error', () => undefined)
    this.setOutputs(settings.outputs)
    this.setFilters(settings.filters)
  }

  debug(source: string, message: string): void {
    this.log('debug', source, message)
  }

  info(source: string, message: string): void {
    this.log('info', source, message)
  }

  /** Also for records that come from the actor threads. */
  log(of: LogKind, source: string, message: string, about: LogContext = {}): void {
    const level = levelOf(of)
    if (!this.isHeard(LEVEL[level], source)) return
    const kind = of === 'debug' || of === 'info' ? undefined : of
    this.#repeats.take({ level, kind, source, message, about, time: Date.now() })
  }

  /** Whether a message would reach any output; worth asking before a costly message is put together. */
  isHeard(level: Level, source: string): boolean {
    return level >= (this.#thresholds.get(source) ?? this.#threshold(source))
  }

  /** No message below this is heard, whatever its source: what the actor threads need not even send. */
  get lowestLevel(): Level {
    const rules = [this.#level, ...this.#filters.map(filter => filter.level)]
    return Math.max(Math.min(...rules), this.#lowestOutput) as Level
  }

  get level(): Level {
    return this.#level
  }

  get filters(): readonly LogFilter[] {
    return this.#filters
  }

  get outputs(): readonly LogOutput[] {
    return this.#outputs
  }

  setLevel(level: Level): void {
    this.#level = level
    this.#thresholds.clear()
  }

  setFilters(filters: readonly LogFilter[]): void {
    this.#filters = filters
    this.#fits = filters.map(({ match }) => compileGlob(match))
    this.#thresholds.clear()
  }

  /** Everything is opened before anything is switched; on a StartupError nothing has changed. None: the default output. */
  setOutputs(outputs: readonly LogOutput[], format = this.#format): void {
    const wanted = outputs.length === 0 ? [this.#fallback(this.#level)] : outputs
    const preamble = [`virtbroker version: ${version}`, `hostname: ${hostname()}`]
    const opened: Transport[] = []
    try {
      for (const output of wanted) opened.push(openOutput(output, format, preamble).on('lost', () => this.onSuppressed('lost')))
    } catch (error) {
      for (const transport of opened) transport.close?.()
      throw error
    }
    // What was counted belongs where the message went.
    this.#repeats.end()
    for (const transport of opened) this.#winston.add(transport)
    for (const transport of this.#transports) this.#winston.remove(transport)
    this.#transports = opened
    this.#outputs = wanted
    this.#format = format
    this.#thresholds.clear()
  }

  /** Opens all outputs anew: a file that has been renamed is left alone from then on. On a StartupError nothing has changed. */
  reopen(): void {
    this.setOutputs(this.#outputs)
  }

  /** All of the settings at once. On a StartupError nothing has changed. Files are opened anew, as in `reopen`. */
  use({ level, filters, outputs, format }: LogSettings): void {
    const wanted = outputs.length === 0 ? [this.#fallback(level)] : outputs
    const same = format === this.#format && isDeepStrictEqual(wanted, this.#outputs)
    if (!same || wanted.some(({ to }) => to === 'file')) this.setOutputs(wanted, format)
    this.setLevel(level)
    this.setFilters(filters)
  }

  /** Writes out what is on its way. To be awaited before the process ends; nothing can be logged after it. */
  async close(): Promise<void> {
    this.#repeats.end()
    const finished = this.#transports.map(transport => once(transport, 'finish'))
    this.#winston.end()
    await Promise.all(finished)
  }

  #threshold(source: string): Level {
    const rule = this.#filters[this.#fits.findIndex(fits => fits(source))]
    const level = Math.max(rule?.level ?? this.#level, this.#lowestOutput) as Level
    this.#thresholds.set(source, level)
    return level
  }

  get #lowestOutput(): Level {
    return Math.min(...this.#outputs.map(output => output.level)) as Level
  }
}

/** The logger of the whole broker: outputs as set, or where virtproxyd would write in this situation. */
export function createBrokerLogger(settings: LogSettings, paths: Paths, daemon: boolean): Logger {
  const situation = {
    daemon,
    stdinIsTerminal: isatty(0),
    journalWritable: isWritable(JOURNAL_SOCKET),
    logFile: paths.logFile
  }
  return new Logger(settings, level => {
    const output = defaultOutput(level, situation)
    // An ordinary user's cache directory may never have been used.
    if (output.to === 'file') makeLogDirectory(dirname(output.path))
    return output
  })
}

function makeLogDirectory(directory: string): void {
  try {
    makeDirectory(directory, 0o700)
  } catch (error) {
    throw new StartupError(`unable to create ${directory}: ${reasonOf(error)}`)
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}
