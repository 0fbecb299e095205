import { InvalidArgumentError, type Command } from 'commander'
import type { AdminLink } from './admin-link.js'

export type Show = <Result>(result: Result, text: (result: Result) => string) => void

/** What a command is run with. */
export interface Run {
  readonly link: AdminLink
  readonly options: Readonly<Record<string, unknown>>
  /** What stands behind the name of the command, if it takes that. */
  readonly operand: unknown
  /** JSON is wanted. */
  readonly json: boolean
  /** Prints a result: as JSON if that is wanted, else as `text` has it. */
  readonly show: Show
  /** As `show`, for one of many: its JSON takes one line. */
  readonly showLine: Show
}

/** Exit code of an examination that has found something to do. */
export const FOUND_PROBLEMS = 4

/** One command of virtbrokerctl. */
export interface BrokerCommand {
  readonly name: string
  readonly describes: string
  /** Its options and its operand. */
  readonly define?: (command: Command) => void
  /** Rejects with Unreachable or Refused. Resolves with what the program is to end with, if not 0. */
  readonly run: (run: Run) => Promise<number | undefined>
}

/** A value of an option or an operand. */
export function wholeNumber(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('it must be a number.')
}
