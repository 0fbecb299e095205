import { DOMAIN } from '../../../protocol/errors.js'
import { configUnsupported, internal, xmlFailure } from '../failures.js'
import { orderChildren } from '../xml/order.js'
import { formatUuid, newUuid, parseUuid } from '../xml/uuid.js'
import { attribute, copyOf, element, find, isElement, setAttribute, textAt, type XmlElement } from '../xml/xml.js'
import { Secret } from './secrets.js'

// libvirt's test driver has no secrets: the texts here are those of its secret driver.

/** Uses by number, each with the element that names the user and what errors call it. */
const USAGES: readonly (readonly [type: string, names: string, missing: string])[] = [
  ['none', '', ''],
  ['volume', 'volume', 'volume usage specified, but volume path is missing'],
  ['ceph', 'name', 'Ceph usage specified, but name is missing'],
  ['iscsi', 'target', 'iSCSI usage specified, but target is missing'],
  ['tls', 'name', 'TLS usage specified, but name is missing'],
  ['vtpm', 'name', 'vTPM usage specified, but name is missing']
]
const ORDER = ['uuid', 'description', 'usage']

/** Throws libvirt's error. */
export function completeSecret(given: XmlElement): Secret {
  const tree = copyOf(given)
  for (const name of ['ephemeral', 'private']) {
    const value = attribute(tree, name) ?? 'no'
    if (value !== 'yes' && value !== 'no') throw xmlFailure(`invalid value of '${name}'`, DOMAIN.secret)
    setAttribute(tree, name, undefined)
    setAttribute(tree, name, value)
  }
  const text = textAt(tree, 'uuid')
  const uuid = text === undefined ? newUuid() : parseUuid(text)
  if (!uuid) throw internal('malformed uuid element', DOMAIN.secret)
  tree.children = tree.children.filter(child => !isElement(child) || child.name !== 'uuid')
  tree.children.push(element('uuid', {}, formatUuid(uuid)))
  orderChildren(tree, ORDER)
  const usage = find(tree, 'usage')
  if (!usage) return new Secret(tree, uuid, 0, '')
  const type = attribute(usage, 'type')
  if (type === undefined) throw xmlFailure('unknown secret usage type', DOMAIN.secret)
  const usageType = USAGES.findIndex(([name]) => name === type)
  if (usageType < 0) throw configUnsupported(`unknown secret usage type ${type}`, DOMAIN.secret)
  const [, names, missing] = USAGES[usageType]!
  const usageId = names === '' ? '' : (textAt(usage, names) ?? attribute(find(usage, names), 'name'))
  if (usageId === undefined) throw internal(missing, DOMAIN.secret)
  return new Secret(tree, uuid, usageType, usageId)
}
