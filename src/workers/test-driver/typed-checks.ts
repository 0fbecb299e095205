import type { Schema } from '../../protocol/bad-arguments.js'
import { PARAM, type TypedParam } from '../../protocol/typed-params.js'

/** All fields of one type. */
export const schemaOf = (type: number, ...fields: string[]): Schema =>
  Object.fromEntries(fields.map(field => [field, type]))

/** A caller that takes strings in typed parameters says so with this flag. */
export const STRING_OKAY = 4

/** What the caller may see: without STRING_OKAY no strings. */
export function visible(params: readonly TypedParam[], flags: number): TypedParam[] {
  return params.filter(param => param.type !== PARAM.string || (flags & STRING_OKAY) !== 0)
}
