import { CODE, DOMAIN, RemoteError, templated } from './errors.js'
import { PARAM, type TypedParam } from './typed-params.js'

/** Raised by `virReportInvalidArg`: the text has no prefix, str1 names the C function and str2 the argument. */
export function badArgument(message: string, cFunction: string, argument: string, domain: number): RemoteError {
  return new RemoteError(CODE.invalidArg, domain, message, { str1: cFunction, str2: argument, int1: 0, int2: 0 })
}

/** Throws libvirt's error if `flags` has other bits than `allowed`. `cFunction` is the name that users will see. */
export function checkFlags(flags: number, allowed: number, cFunction: string, domain: number): void {
  const other = (flags & ~allowed) >>> 0
  if (other === 0) return
  const text = `unsupported flags (0x${other.toString(16)}) in function ${cFunction}`
  throw badArgument(text, cFunction, 'flags', domain)
}

export const invalidArgument = (detail: string): RemoteError =>
  templated(CODE.invalidArg, DOMAIN.none, 'invalid argument: %1$s', detail)

export const unsupportedArgument = (detail: string): RemoteError =>
  templated(CODE.argumentUnsupported, DOMAIN.none, 'argument unsupported: %1$s', detail)

/** Field names and the type that each must have. */
export type Schema = Readonly<Record<string, number>>

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [PARAM.int]: 'int',
  [PARAM.uint]: 'uint',
  [PARAM.llong]: 'llong',
  [PARAM.ullong]: 'ullong',
  [PARAM.double]: 'double',
  [PARAM.boolean]: 'boolean',
  [PARAM.string]: 'string'
}

/**
 * The checks of `virTypedParamsValidate`, which walks the fields in the order of their names. Throws libvirt's error for a
 * field that is not in the schema, has another type or comes twice.
 */
export function checkParams(params: readonly TypedParam[], schema: Schema): void {
  const sorted = [...params].sort((a, b) => Buffer.compare(Buffer.from(a.field), Buffer.from(b.field)))
  let previous: string | undefined
  for (const { field, type } of sorted) {
    const expected = Object.hasOwn(schema, field) ? schema[field] : undefined
    if (expected === undefined) throw unsupportedArgument(`parameter '${field}' not supported`)
    if (field === previous) throw invalidArgument(`parameter '${field}' occurs multiple times`)
    if (type !== expected) {
      throw invalidArgument(`invalid type '${TYPE_NAMES[type]}' for parameter '${field}', expected '${TYPE_NAMES[expected]}'`)
    }
    previous = field
  }
}
