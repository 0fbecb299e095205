import type { LogContext } from '../../workers/base/log.js'
import type { MessageKind } from '../../workers/base/log-kinds.js'
import type { LevelName } from '../config/log-settings.js'

/** What the logger hands to winston, and winston to the outputs. */
export interface LogRecord {
  readonly level: LevelName
  /** Undefined below warning. */
  readonly kind: MessageKind | undefined
  /** Empty in what an output says by itself. */
  readonly source: string
  readonly message: string
  readonly about: LogContext
  /** How often it was said again, where this is what the record tells. */
  readonly repeated?: number
  /** Milliseconds since 1970. */
  readonly time: number
}

const MAX_MESSAGE_CHARACTERS = 4096
const MAX_FIELD_CHARACTERS = 1024

/** Half a pair is no character, and makes a whole line illegible for some who read it. */
const LONE_SURROGATES = /\p{Surrogate}/gu

const bounded = (text: string, most: number): string =>
  (text.length <= most ? text : `${text.slice(0, most)} (cut)`).replace(LONE_SURROGATES, '\ufffd')

export const boundedMessage = (text: string): string => bounded(text, MAX_MESSAGE_CHARACTERS)

/** What is known of whom or what the record is about, by the names of `LogContext`. */
export function contextFields({ about, repeated }: LogRecord): [name: string, value: string | number][] {
  return Object.entries({ ...about, repeated }).flatMap(([name, value]: [string, string | number | undefined]) => {
    if (value === undefined) return []
    return [[name, typeof value === 'string' ? bounded(value, MAX_FIELD_CHARACTERS) : value]]
  })
}

/** Control characters, other ends of lines, and what changes the direction of writing. Line feeds and tabs are none. */
const HARMFUL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Clients choose parts of messages: they must not be able to steer a terminal, or the eye of whoever reads it. */
export const harmless = (message: string): string =>
  message.replace(HARMFUL, char => {
    const code = char.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
