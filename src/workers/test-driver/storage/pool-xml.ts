import { DOMAIN } from '../../../protocol/errors.js'
import { xmlFailure } from '../failures.js'
import { orderChildren } from '../xml/order.js'
import { formatUuid, newUuid, parseUuid } from '../xml/uuid.js'
import { attribute, copyOf, element, find, isElement, textAt, type XmlElement } from '../xml/xml.js'

/** Kinds of pools, each with the flag that lists it and the kind of its volumes. */
export const POOL_TYPES: Record<string, { listFlag: number; volumeType: number; format?: string }> = {
  dir: { listFlag: 64, volumeType: 0 },
  fs: { listFlag: 128, volumeType: 0, format: 'auto' },
  netfs: { listFlag: 256, volumeType: 0, format: 'auto' },
  logical: { listFlag: 512, volumeType: 1, format: 'lvm2' },
  disk: { listFlag: 1024, volumeType: 1, format: 'unknown' },
  iscsi: { listFlag: 2048, volumeType: 1 },
  scsi: { listFlag: 4096, volumeType: 1 },
  mpath: { listFlag: 8192, volumeType: 1 },
  rbd: { listFlag: 16384, volumeType: 3 },
  sheepdog: { listFlag: 32768, volumeType: 3 },
  gluster: { listFlag: 0x10000, volumeType: 3 },
  zfs: { listFlag: 0x20000, volumeType: 1 },
  vstorage: { listFlag: 0x40000, volumeType: 0 },
  'iscsi-direct': { listFlag: 0x80000, volumeType: 3 }
}
const NEEDS_PATH = new Set(['dir', 'fs', 'netfs', 'vstorage'])
const NEEDS_HOST = new Set(['netfs', 'iscsi', 'gluster', 'rbd', 'sheepdog', 'iscsi-direct'])
const ORDER = ['name', 'uuid', 'features', 'capacity', 'allocation', 'available', 'source', 'target']

/** A pool definition as libvirt keeps it, without the sizes, which the pool adds. Throws libvirt's error. */
export function completePool(given: XmlElement): XmlElement {
  const type = attribute(given, 'type')
  if (type === undefined) throw xmlFailure("Missing required attribute 'type' in element 'pool'", DOMAIN.none)
  const kind = POOL_TYPES[type]
  if (!kind) throw xmlFailure(`Invalid value for attribute 'type' in element 'pool': '${type}'.`, DOMAIN.none)
  const pool = copyOf(given)
  const name = textAt(pool, 'name') ?? textAt(pool, 'source', 'name')
  if (name === undefined) throw xmlFailure('missing pool source name element', DOMAIN.storage)
  if (name.includes('/')) throw xmlFailure(`name ${name} cannot contain '/'`, DOMAIN.storage)
  const uuid = textAt(pool, 'uuid')
  const bytes = uuid === undefined ? newUuid() : parseUuid(uuid)
  if (!bytes) throw xmlFailure('malformed uuid element', DOMAIN.storage)
  if (NEEDS_HOST.has(type) && !find(pool, 'source', 'host'))
    throw xmlFailure('missing storage pool source host name', DOMAIN.storage)
  if (NEEDS_PATH.has(type) && textAt(pool, 'target', 'path') === undefined)
    throw xmlFailure('missing storage pool target path', DOMAIN.storage)
  const replaced = new Set(['name', 'uuid', 'capacity', 'allocation', 'available'])
  pool.children = pool.children.filter(child => !isElement(child) || !replaced.has(child.name))
  pool.children.push(element('name', {}, name), element('uuid', {}, formatUuid(bytes)))
  let source = find(pool, 'source')
  if (!source) pool.children.push((source = element('source')))
  if (kind.format !== undefined && !find(source, 'format'))
    source.children.push(element('format', { type: kind.format }))
  orderChildren(pool, ORDER)
  return pool
}
