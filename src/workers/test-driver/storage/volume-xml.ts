import { DOMAIN } from '../../../protocol/errors.js'
import { configUnsupported, xmlFailure } from '../failures.js'
import { orderChildren } from '../xml/order.js'
import { unitBytes } from '../xml/units.js'
import {
  attribute,
  copyOf,
  element,
  expectRoot,
  find,
  isElement,
  printXml,
  setAttribute,
  textAt,
  textOf,
  type XmlElement
} from '../xml/xml.js'
import type { Pool } from './pools.js'
import { Volume } from './volumes.js'

/** What `virStorageFileFormat` knows. */
const FORMATS = new Set([
  'none',
  'raw',
  'dir',
  'bochs',
  'cloop',
  'dmg',
  'iso',
  'vpc',
  'vdi',
  'fat',
  'vhd',
  'ploop',
  'cow',
  'qcow',
  'qcow2',
  'qed',
  'vmdk'
])
const TYPE_NAMES = ['file', 'block', 'dir', 'network', 'netdir', 'ploop']
const ORDER = ['name', 'key', 'capacity', 'allocation', 'physical', 'target', 'backingStore']
const TARGET_ORDER = ['path', 'format', 'permissions', 'timestamps', 'encryption', 'compat']

function size(tree: XmlElement, name: string): bigint | undefined {
  const child = find(tree, name)
  if (!child) return undefined
  const text = textOf(child).trim()
  if (!/^\d+$/.test(text)) throw xmlFailure(`malformed ${name} element`, DOMAIN.storage)
  return BigInt(text) * unitBytes(attribute(child, 'unit') ?? 'bytes')
}

/** A volume of `pool` from a client's definition. Throws libvirt's error. */
export function completeVolume(given: XmlElement, pool: Pool): Volume {
  expectRoot(given, 'volume')
  const tree = copyOf(given)
  const name = textAt(tree, 'name')
  if (name === undefined) throw xmlFailure('missing volume name element', DOMAIN.storage)
  const capacity = size(tree, 'capacity')
  if (capacity === undefined) throw xmlFailure('missing capacity element', DOMAIN.storage)
  const allocation = size(tree, 'allocation') ?? capacity
  let target = find(tree, 'target')
  if (!target) tree.children.push((target = element('target')))
  const format = find(target, 'format')
  const formatName = attribute(format, 'type')
  if (formatName !== undefined && !FORMATS.has(formatName))
    throw configUnsupported(`unknown volume format type ${formatName}`, DOMAIN.storage)
  if (!format && pool.volumeType === 0) target.children.push(element('format', { type: 'raw' }))
  const path = `${pool.path}/${name}`
  target.children = target.children.filter(child => !isElement(child) || child.name !== 'path')
  target.children.push(element('path', {}, path))
  orderChildren(target, TARGET_ORDER)
  tree.children = tree.children.filter(
    child => !isElement(child) || !['key', 'capacity', 'allocation'].includes(child.name)
  )
  return new Volume(tree, name, path, capacity, allocation)
}

export function describeVolume(volume: Volume, pool: Pool): string {
  const tree = copyOf(volume.definition)
  setAttribute(tree, 'type', TYPE_NAMES[pool.volumeType])
  tree.children.push(
    element('key', {}, volume.key),
    element('capacity', { unit: 'bytes' }, String(volume.capacity)),
    element('allocation', { unit: 'bytes' }, String(volume.allocation))
  )
  orderChildren(tree, ORDER)
  return printXml(tree)
}
