import { DOMAIN } from '../../protocol/errors.js'
import { PARAM, type TypedParam } from '../../protocol/typed-params.js'
import { argumentUnsupported, invalidArg } from './failures.js'

const TYPE_NAMES = ['', 'int', 'uint', 'llong', 'ullong', 'double', 'boolean', 'string']

/** Field names and the type that each must have. */
export type Schema = Readonly<Record<string, number>>

/** Throws libvirt's error for a field that is not in the schema, has another type or comes twice. */
export function checkParams(params: readonly TypedParam[], schema: Schema): void {
  const seen = new Set<string>()
  for (const { field, type } of params) {
    const wanted = schema[field]
    if (wanted === undefined) throw argumentUnsupported(`parameter '${field}' not supported`, DOMAIN.none)
    if (wanted !== type) {
      const text = `invalid type '${TYPE_NAMES[type]}' for parameter '${field}', expected '${TYPE_NAMES[wanted]}'`
      throw invalidArg(text, DOMAIN.none)
    }
    if (seen.has(field)) throw invalidArg(`parameter '${field}' occurs multiple times`, DOMAIN.none)
    seen.add(field)
  }
}

/** All fields of one type. */
export const schemaOf = (type: number, ...fields: string[]): Schema =>
  Object.fromEntries(fields.map(field => [field, type]))

/** A caller that takes strings in typed parameters says so with this flag. */
export const STRING_OKAY = 4

/** What the caller may see: without STRING_OKAY no strings. */
export function visible(params: readonly TypedParam[], flags: number): TypedParam[] {
  return params.filter(param => param.type !== PARAM.string || (flags & STRING_OKAY) !== 0)
}
