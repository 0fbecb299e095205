import type { ObjectKind } from './procedure-row.js'
import { XdrError, XdrReader } from './xdr.js'

/** An object of a driver daemon, as the protocol names it, or of the broker itself. What is not told of it is undefined. */
export interface NamedObject {
  readonly type: Exclude<ObjectKind, 'domain_name'> | 'connection' | 'client' | 'server'
  readonly name: string | undefined
  /** Its UUID; of a volume its key, of an interface its MAC address. */
  readonly uid: string | undefined
}

/** Bytes of a name that are looked at. */
const MOST_BYTES = 1024
const UUID_BYTES = 16

/** The one that a call acts on, and behind it the one that it belongs to: the pool of a volume, the domain of a snapshot. */
export type Named = readonly NamedObject[]

const NOTHING: Named = []

/**
 * The object of that kind which `bytes` begin with, from `start` on, as much of it as is there; nothing if it does not decode,
 * because its daemon will say so. The structures are those of `remote_protocol.x`, `remote_nonnull_domain` and its like.
 */
export function readObject(kind: ObjectKind, bytes: Buffer, start = 0, end = bytes.length): Named {
  try {
    return read(kind, new XdrReader(bytes, start, end)).filter(({ name, uid }) => name !== undefined || uid !== undefined)
  } catch (error) {
    if (error instanceof XdrError) return NOTHING
    throw error
  }
}

function read(kind: ObjectKind, xdr: XdrReader): Named {
  switch (kind) {
    case 'domain':
    case 'network':
    case 'storage_pool':
    case 'nwfilter':
      return [{ type: kind, name: text(xdr), uid: uuid(xdr) }]
    case 'domain_name':
      return [{ type: 'domain', name: text(xdr), uid: undefined }]
    case 'domain_snapshot':
    case 'domain_checkpoint':
      return [{ type: kind, name: text(xdr), uid: undefined }, ...read('domain', xdr)]
    case 'network_port': {
      const network = read('network', xdr)
      return [{ type: kind, name: undefined, uid: uuid(xdr) }, ...network]
    }
    case 'interface':
      return [{ type: kind, name: text(xdr), uid: text(xdr) }]
    case 'storage_vol': {
      const pool = text(xdr)
      return [{ type: kind, name: text(xdr), uid: text(xdr) }, { type: 'storage_pool', name: pool, uid: undefined }]
    }
    case 'node_device':
    case 'nwfilter_binding':
    case 'file':
      return [{ type: kind, name: text(xdr), uid: undefined }]
    case 'secret': {
      const uid = uuid(xdr)
      if (uid === undefined) return NOTHING
      if (xdr.left >= 4) xdr.i32() // what kind of use it is for
      return [{ type: kind, name: text(xdr), uid }]
    }
  }
}

const text = (xdr: XdrReader): string | undefined => (xdr.left < 4 ? undefined : xdr.stringHead(MOST_BYTES))

function uuid(xdr: XdrReader): string | undefined {
  if (xdr.left < UUID_BYTES) return undefined
  const hex = xdr.uuid().toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
