import { resolve } from 'node:path'
import { StartupError } from './startup-error.js'

/** Log levels; libvirt's numbers, from talkative to silent. */
export const LEVEL = { debug: 1, info: 2, warning: 3, error: 4 } as const
export type Level = (typeof LEVEL)[keyof typeof LEVEL]
export type LevelName = keyof typeof LEVEL

export const levelNames: Readonly<Record<Level, LevelName>> = { 1: 'debug', 2: 'info', 3: 'warning', 4: 'error' }

/** Messages of the sources that fit `match` are kept from `level` on. */
export interface LogFilter {
  level: Level
  /** As shown to the administrator: the given text between two asterisks. */
  match: string
}

export type LogOutput =
  | { level: Level; to: 'stderr' | 'journald' }
  | { level: Level; to: 'file'; path: string }
  | { level: Level; to: 'syslog'; ident: string }

/** Of lines, on stderr and in files: virtproxyd's, or an object of JSON each. */
export const LOG_FORMATS = ['text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export interface LogSettings {
  level: Level
  filters: readonly LogFilter[]
  /** Empty: nobody said anything, the default output is to be used. */
  outputs: readonly LogOutput[]
  format: LogFormat
}

const DEFAULT_LEVEL = LEVEL.warning

function refuse(what: string): never {
  throw new StartupError(`invalid argument: ${what}`)
}

/** `1` … `4`, as strtol reads them. */
const parseLevel = (text: string): Level | undefined => (/^\s*\+?0*[1-4]$/.test(text) ? (Number(text) as Level) : undefined)

const items = (text: string): string[] => text.split(' ').filter(item => item !== '')

/** Reads `LEVEL:MATCH LEVEL:MATCH …`; the first filter that fits a source decides. Throws a StartupError. */
export function parseFilters(text: string): LogFilter[] {
  return items(text).map(item => {
    const [level, match] = item.split(':')
    if (level === undefined || match === undefined) refuse(`Malformed format for filter '${item}'`)
    const known = parseLevel(level) ?? refuse(`Invalid priority '${level}' for filter '${item}'`)
    // A leading plus once asked for stack traces.
    const wanted = match.replace(/^\+/, '')
    if (wanted === '') refuse(`Invalid match string '${match}'`)
    const pattern = `*${wanted}*`
    return { level: known, match: pattern }
  })
}

/** Reads `LEVEL:stderr LEVEL:file:PATH …`; of outputs to the same place the last is kept. Throws a StartupError. */
export function parseOutputs(text: string, directory = process.cwd()): LogOutput[] {
  const outputs = new Map<string, LogOutput>()
  for (const item of items(text)) {
    const output = parseOutput(item, directory)
    const place = item.slice(item.indexOf(':'))
    outputs.delete(place)
    outputs.set(place, output)
  }
  return [...outputs.values()]
}

/** As `parseFilters` reads them; each is followed by a space, as libvirt writes them. */
export const filtersText = (filters: readonly LogFilter[]): string =>
  filters.map(({ level, match }) => `${level}:${match} `).join('')

/** As `parseOutputs` reads them. */
export const outputsText = (outputs: readonly LogOutput[]): string => outputs.map(outputText).join(' ')

function outputText(output: LogOutput): string {
  const place = `${output.level}:${output.to}`
  switch (output.to) {
    case 'file':
      return `${place}:${output.path}`
    case 'syslog':
      return `${place}:${output.ident}`
    default:
      return place
  }
}

function parseOutput(item: string, directory: string): LogOutput {
  const [levelText, to, data, ...more] = item.split(':')
  if (levelText === undefined || to === undefined) refuse(`Malformed format for log output '${item}'`)
  const level = parseLevel(levelText) ?? refuse(`Invalid log priority '${levelText}' for log output '${item}'`)
  switch (to) {
    case 'stderr':
    case 'journald':
      if (data === undefined) return { level, to }
      break
    case 'file':
      if (data !== undefined && more.length === 0) return { level, to, path: resolve(directory, data) }
      break
    case 'syslog':
      if (data !== undefined && more.length === 0) return { level, to, ident: data }
      break
    default:
      refuse(`Invalid log destination '${to}' for log output '${item}'`)
  }
  return refuse(`Log output '${item}' does not meet the format requirements for destination type '${to}'`)
}

/** `log_level`, `log_filters`, `log_outputs` and `log_format` of the file; 0 and undefined where not given. */
export interface FileLogSettings {
  level: number
  filters: string | undefined
  outputs: string | undefined
  format: string
}

/** Brings together what the file, the environment and `-v` say; each beats the one before. Throws a StartupError. */
export function logSettings(
  file: FileLogSettings,
  env: Readonly<Record<string, string | undefined>>,
  verbose: boolean,
  directory = process.cwd()
): LogSettings {
  if (file.level > LEVEL.error) refuse(`Failed to set logging priority, argument '${file.level}' is invalid`)
  let level: Level = file.level === 0 ? DEFAULT_LEVEL : (file.level as Level)
  // What the file says must be right even where the environment beats it.
  const fileFilters = parseFilters(file.filters ?? '')
  const fileOutputs = parseOutputs(file.outputs ?? '', directory)
  const format = LOG_FORMATS.find(known => known === file.format) ?? refuse(`log_format '${file.format}' is neither text nor json`)
  level = (env.LIBVIRT_DEBUG ? parseDebugVariable(env.LIBVIRT_DEBUG) : undefined) ?? level
  return {
    level: verbose && level > LEVEL.info ? LEVEL.info : level,
    filters: env.LIBVIRT_LOG_FILTERS ? parseFilters(env.LIBVIRT_LOG_FILTERS) : fileFilters,
    outputs: env.LIBVIRT_LOG_OUTPUTS ? parseOutputs(env.LIBVIRT_LOG_OUTPUTS, directory) : fileOutputs,
    format
  }
}

const parseDebugVariable = (text: string): Level =>
  Object.hasOwn(LEVEL, text)
    ? LEVEL[text as LevelName]
    : (parseLevel(text) ?? refuse(`Failed to set logging priority, argument '${text}' is invalid`))

/** Where messages go when nobody said it. */
export function defaultOutput(
  level: Level,
  situation: { daemon: boolean; stdinIsTerminal: boolean; journalWritable: boolean; logFile: string }
): LogOutput {
  const { daemon, stdinIsTerminal, journalWritable, logFile } = situation
  // The journal is not flooded by default.
  if (journalWritable && (daemon || !stdinIsTerminal)) return { level: level === 1 ? 2 : level, to: 'journald' }
  return daemon ? { level, to: 'file', path: logFile } : { level, to: 'stderr' }
}
