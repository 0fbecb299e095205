import { readParams } from '../../protocol/typed-params.js'
import { XdrError, XdrReader } from '../../protocol/xdr.js'

/**
 * What `read` finds in a call's arguments behind those of `before`, or undefined if they do not decode. A letter stands
 * for each argument: `D` a domain, `N` a network, a pool or whatever else is a name and a UUID, `s` a string, `o` one that
 * may be absent, `u` a word, `h` a hyper, `b` opaque bytes, `p` typed parameters.
 */
export function decodeArguments<T>(body: Buffer, before: string, read: (xdr: XdrReader) => T): T | undefined {
  const xdr = new XdrReader(body)
  try {
    for (const kind of before) skip(xdr, kind)
    return read(xdr)
  } catch (error) {
    if (error instanceof XdrError) return undefined
    throw error
  }
}

const MAX_BYTES = 64 * 1024
const MAX_PARAMS = 4096

function skip(xdr: XdrReader, kind: string): void {
  switch (kind) {
    case 'D':
      xdr.string()
      xdr.uuid()
      return void xdr.i32()
    case 'N':
      xdr.string()
      return void xdr.uuid()
    case 's':
      return void xdr.string()
    case 'o':
      return void xdr.optional(x => x.string())
    case 'u':
      return void xdr.u32()
    case 'h':
      return void xdr.u64()
    case 'b':
      return void xdr.opaque(MAX_BYTES)
    case 'p':
      return void readParams(xdr, MAX_PARAMS)
    default:
      throw new RangeError(`no such kind of argument: ${kind}`)
  }
}
