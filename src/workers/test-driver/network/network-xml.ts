import { isIP } from 'node:net'
import { CODE, DOMAIN, RemoteError } from '../../../protocol/errors.js'
import { configUnsupported, internal, xmlFailure } from '../failures.js'
import { orderChildren } from '../xml/order.js'
import { formatUuid, newUuid, parseUuid } from '../xml/uuid.js'
import { attribute, childrenNamed, copyOf, element, find, isElement, setAttribute, textAt, type XmlElement } from '../xml/xml.js'

/** Order in which `virNetworkDefFormat` prints. */
const ORDER = [
  'name',
  'uuid',
  'title',
  'description',
  'metadata',
  'forward',
  'bridge',
  'mtu',
  'mac',
  'domain',
  'dns',
  'vlan',
  'bandwidth',
  'ip',
  'route',
  'virtualport',
  'portgroup'
]
const FORWARD_MODES = new Set(['none', 'nat', 'route', 'bridge', 'private', 'vepa', 'passthrough', 'hostdev', 'open'])
/** In these modes libvirt makes the bridge itself, with spanning tree and delay. */
const OWN_BRIDGE = new Set(['none', 'nat', 'route', 'open'])
/** VIR_ERR_NO_NAME */
const NO_NAME = 21

/** A network definition as libvirt keeps it. Throws libvirt's error. */
export function completeNetwork(given: XmlElement): XmlElement {
  const network = copyOf(given)
  const name = textAt(network, 'name')
  if (name === undefined)
    throw new RemoteError(NO_NAME, DOMAIN.network, 'missing name information', { str1: 'missing name information' })
  if (name.includes('/')) throw new RemoteError(CODE.xmlError, DOMAIN.none, 'invalid char in name: /', { str1: '%s' })
  const uuid = textAt(network, 'uuid')
  const bytes = uuid === undefined ? newUuid() : parseUuid(uuid)
  if (!bytes) throw internal('malformed uuid element', DOMAIN.network)
  network.children = network.children.filter(child => !isElement(child) || child.name !== 'uuid')
  network.children.push(element('uuid', {}, formatUuid(bytes)))
  const forward = find(network, 'forward')
  const mode = forward ? (attribute(forward, 'mode') ?? 'nat') : 'none'
  if (!FORWARD_MODES.has(mode)) throw configUnsupported(`unknown forwarding type '${mode}'`, DOMAIN.network)
  if (forward) setAttribute(forward, 'mode', mode)
  for (const ip of childrenNamed(network, 'ip')) {
    const address = attribute(ip, 'address')
    if (address !== undefined && isIP(address) === 0)
      throw xmlFailure(`Invalid address '${address}' in network '${name}'`, DOMAIN.network)
  }
  if (OWN_BRIDGE.has(mode)) {
    let bridge = find(network, 'bridge')
    if (!bridge) network.children.push((bridge = element('bridge')))
    if (attribute(bridge, 'stp') === undefined) setAttribute(bridge, 'stp', 'on')
    if (attribute(bridge, 'delay') === undefined) setAttribute(bridge, 'delay', '0')
  }
  orderChildren(network, ORDER)
  return network
}
