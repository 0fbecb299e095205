import { invalidArgument } from '../../protocol/bad-arguments.js'
import type { AdminClient } from './admin-client.js'

export type JsonArguments = Readonly<Record<string, unknown>>

/** Serves a call of the broker's own program: returns, or resolves with, its result. Throws RemoteError. */
export type JsonProcedure = (args: JsonArguments, client: AdminClient) => unknown

export function wholeNumber(value: unknown, name: string): number {
  if (Number.isSafeInteger(value)) return value as number
  throw invalidArgument(`${name} must be a number`)
}
