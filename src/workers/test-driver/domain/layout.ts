import { inOrder, place } from '../xml/order.js'
import { attribute, element, find, isElement, type XmlElement, type XmlNode } from '../xml/xml.js'

// libvirt prints the parts of a definition in an order of its own (`virDomainDefFormatInternal`), whatever order they
// were written in. Names that are not listed keep their place after the listed ones.

const CHILDREN: Record<string, readonly string[]> = {
  domain: [
    'name',
    'uuid',
    'genid',
    'title',
    'description',
    'metadata',
    'maxMemory',
    'memory',
    'currentMemory',
    'blkiotune',
    'memtune',
    'memoryBacking',
    'vcpu',
    'vcpus',
    'iothreads',
    'iothreadids',
    'cputune',
    'numatune',
    'resource',
    'sysinfo',
    'bootloader',
    'bootloader_args',
    'os',
    'idmap',
    'features',
    'cpu',
    'clock',
    'on_poweroff',
    'on_reboot',
    'on_crash',
    'on_lockfailure',
    'pm',
    'perf',
    'devices',
    'seclabel',
    'keywrap',
    'launchSecurity'
  ],
  os: ['type', 'init', 'initarg', 'loader', 'nvram', 'kernel', 'initrd', 'cmdline', 'dtb', 'acpi', 'boot', 'bootmenu'],
  devices: [
    'emulator',
    'disk',
    'controller',
    'lease',
    'filesystem',
    'interface',
    'smartcard',
    'serial',
    'parallel',
    'console',
    'channel',
    'input',
    'tpm',
    'graphics',
    'sound',
    'audio',
    'video',
    'hostdev',
    'redirdev',
    'redirfilter',
    'hub',
    'watchdog',
    'memballoon',
    'rng',
    'nvram',
    'panic',
    'shmem',
    'memory',
    'iommu',
    'vsock'
  ],
  disk: [
    'driver',
    'auth',
    'source',
    'backingStore',
    'mirror',
    'target',
    'iotune',
    'readonly',
    'shareable',
    'transient',
    'serial',
    'wwn',
    'vendor',
    'product',
    'encryption',
    'boot',
    'alias',
    'address'
  ],
  interface: [
    'mac',
    'source',
    'virtualport',
    'ip',
    'route',
    'script',
    'target',
    'guest',
    'model',
    'driver',
    'filterref',
    'boot',
    'bandwidth',
    'vlan',
    'link',
    'mtu',
    'alias',
    'address'
  ]
}

const ATTRIBUTES: Record<string, readonly string[]> = {
  domain: ['type', 'id'],
  vcpu: ['placement', 'cpuset', 'current'],
  type: ['arch', 'machine'],
  disk: ['type', 'device', 'model', 'rawio', 'sgio'],
  target: ['type', 'dev', 'bus', 'name', 'port'],
  address: ['type', 'domain', 'controller', 'bus', 'slot', 'function', 'target', 'unit', 'port'],
  controller: ['type', 'index', 'model', 'ports'],
  graphics: ['type', 'port', 'tlsPort', 'autoport', 'websocket', 'listen', 'keymap', 'passwd'],
  input: ['type', 'bus'],
  cpu: ['mode', 'match', 'check']
}

/** The same element with children and attributes where libvirt would print them. */
export function laidOut(tree: XmlElement): XmlElement {
  const children = inOrder<XmlNode>(tree.children, CHILDREN[tree.name], child => (isElement(child) ? child.name : ''))
  return {
    name: tree.name,
    attributes: inOrder(tree.attributes, ATTRIBUTES[tree.name], pair => pair[0]),
    children: children.map(child => (isElement(child) && child.name !== 'metadata' ? laidOut(child) : child))
  }
}

/** Where a new child belongs among `siblings`, so that the layout stays. */
export function insertInOrder(parent: XmlElement, child: XmlElement): void {
  const order = CHILDREN[parent.name] ?? []
  const rank = place(order, child.name)
  const at = parent.children.findIndex(other => isElement(other) && place(order, other.name) > rank)
  if (at < 0) parent.children.push(child)
  else parent.children.splice(at, 0, child)
}

/** Gives the child `name` the text, making it if needed; `attributes` replace the ones that it had, if given. */
export function putText(parent: XmlElement, name: string, text: string, attributes?: Record<string, string>): void {
  let child = find(parent, name)
  if (!child) insertInOrder(parent, (child = element(name)))
  child.children = [text]
  if (attributes) child.attributes = Object.entries(attributes)
}

/** PCI addresses are printed with fixed widths, however they were written. */
export function tidyAddress(address: XmlElement): void {
  if (attribute(address, 'type') !== 'pci') return
  for (const pair of address.attributes) {
    const width = { domain: 4, bus: 2, slot: 2, function: 1 }[pair[0]]
    const value = Number(pair[1])
    if (width !== undefined && Number.isInteger(value)) pair[1] = `0x${value.toString(16).padStart(width, '0')}`
  }
}
