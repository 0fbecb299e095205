import { XdrError, type XdrReader, type XdrWriter } from './xdr.js'

/** Type codes of `virTypedParameterType`. */
export const PARAM = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 } as const

/** Longest field name (`VIR_TYPED_PARAM_FIELD_LENGTH` less its NUL), in bytes. */
const MAX_FIELD_BYTES = 79

export type TypedParam =
  | { field: string; type: 1 | 2 | 5 | 6; value: number }
  | { field: string; type: 3 | 4; value: bigint }
  | { field: string; type: 7; value: string }

export const stringParam = (field: string, value: string): TypedParam => ({ field, type: PARAM.string, value })
export const ullongParam = (field: string, value: bigint | number): TypedParam => ({
  field,
  type: PARAM.ullong,
  value: BigInt(value)
})
export const llongParam = (field: string, value: bigint | number): TypedParam => ({
  field,
  type: PARAM.llong,
  value: BigInt(value)
})
export const intParam = (field: string, value: number): TypedParam => ({ field, type: PARAM.int, value })
export const uintParam = (field: string, value: number): TypedParam => ({ field, type: PARAM.uint, value })
export const doubleParam = (field: string, value: number): TypedParam => ({ field, type: PARAM.double, value })
export const booleanParam = (field: string, value: boolean): TypedParam => ({
  field,
  type: PARAM.boolean,
  value: value ? 1 : 0
})

export function writeParam(xdr: XdrWriter, param: TypedParam): void {
  xdr.string(param.field).i32(param.type)
  switch (param.type) {
    case PARAM.int:
    case PARAM.boolean:
      xdr.i32(param.value)
      break
    case PARAM.uint:
      xdr.u32(param.value)
      break
    case PARAM.double:
      xdr.f64(param.value)
      break
    case PARAM.llong:
      xdr.i64(param.value)
      break
    case PARAM.ullong:
      xdr.u64(param.value)
      break
    case PARAM.string:
      xdr.string(param.value)
  }
}

export function writeParams(xdr: XdrWriter, params: readonly TypedParam[]): XdrWriter {
  return xdr.array(params, writeParam)
}

/** Throws XdrError for an unknown type or a field name that is too long. */
export function readParam(xdr: XdrReader): TypedParam {
  const field = xdr.string(MAX_FIELD_BYTES)
  const type = xdr.i32()
  switch (type) {
    case PARAM.int:
    case PARAM.boolean:
      return { field, type, value: xdr.i32() }
    case PARAM.uint:
      return { field, type, value: xdr.u32() }
    case PARAM.double:
      return { field, type, value: xdr.f64() }
    case PARAM.llong:
      return { field, type, value: xdr.i64() }
    case PARAM.ullong:
      return { field, type, value: xdr.u64() }
    case PARAM.string:
      return { field, type, value: xdr.string() }
    default:
      throw new XdrError(`typed parameter '${field}' has unknown type ${type}`)
  }
}

/** At most `limit` parameters; each procedure has its own. */
export function readParams(xdr: XdrReader, limit: number): TypedParam[] {
  return xdr.array(limit, readParam)
}
