import { randomBytes } from 'node:crypto'
import { DOMAIN, RemoteError } from '../../../protocol/errors.js'
import { insertInOrder, tidyAddress } from './layout.js'
import { xmlFailure } from '../failures.js'
import { attribute, childrenNamed, element, elements, find, setAttribute, type XmlElement } from '../xml/xml.js'

// Fills in what libvirt's parser adds to devices by itself.

/** Bus that the first letters of a disk's name stand for (`virDomainDiskDefAssignAddress` and friends). */
const BUSES: readonly (readonly [prefix: string, bus: string])[] = [
  ['hd', 'ide'],
  ['sd', 'scsi'],
  ['vd', 'virtio'],
  ['xvd', 'xen'],
  ['ubd', 'uml'],
  ['fd', 'fdc']
]
/** How many disks one controller of a bus takes: with these, a disk's name gives its place on it. */
const UNITS: Record<string, { perBus: number; buses: number }> = {
  ide: { perBus: 2, buses: 2 },
  scsi: { perBus: 7, buses: 1 },
  fdc: { perBus: 2, buses: 1 }
}

/** 0 for `vda`, 25 for `vdz`, 26 for `vdaa`; undefined if the name is none of libvirt's. */
function diskIndex(name: string): number | undefined {
  const match = /^(?:fd|hd|vd|sd|xvd|ubd)([a-z]+)\d*$/.exec(name)
  if (!match) return undefined
  let index = 0
  for (const letter of match[1]!) index = index * 26 + letter.charCodeAt(0) - 96
  return index - 1
}

const nameOf = (disk: XmlElement): string => attribute(find(disk, 'target'), 'dev') ?? ''
const busOf = (disk: XmlElement): string => attribute(find(disk, 'target'), 'bus') ?? ''

/**
 * Puts disks in the order of `virDomainDiskInsert`: by name among those whose bus was written alike, or not at all.
 * It has to be done before buses are filled in.
 */
function sortDisks(devices: XmlElement): void {
  const disks: XmlElement[] = []
  for (const disk of childrenNamed(devices, 'disk')) {
    const own = diskIndex(nameOf(disk)) ?? -1
    let at = -1
    for (let i = disks.length - 1; i >= 0; i--) {
      if (busOf(disks[i]!) !== busOf(disk)) continue
      if ((diskIndex(nameOf(disks[i]!)) ?? -1) > own) at = i
      else if (at < 0) at = i + 1
    }
    disks.splice(at < 0 ? disks.length : at, 0, disk)
  }
  devices.children = devices.children.filter(child => typeof child === 'string' || child.name !== 'disk')
  for (const disk of disks) insertInOrder(devices, disk)
}

function completeDisk(disk: XmlElement): void {
  const target = find(disk, 'target')
  const name = attribute(target, 'dev')
  if (!target || !name) {
    // VIR_ERR_NO_TARGET has a text of its own.
    throw new RemoteError(20, DOMAIN.domain, 'missing target information for device', {
      str1: 'missing target information for %1$s',
      str2: 'device'
    })
  }
  if (attribute(disk, 'type') === undefined) setAttribute(disk, 'type', 'file')
  if (attribute(disk, 'device') === undefined) setAttribute(disk, 'device', 'disk')
  const bus = attribute(target, 'bus') ?? BUSES.find(([prefix]) => name.startsWith(prefix))?.[1] ?? 'ide'
  setAttribute(target, 'bus', bus)
  if (attribute(disk, 'device') === 'cdrom' && !find(disk, 'readonly')) insertInOrder(disk, element('readonly'))
  const units = UNITS[bus]
  if (find(disk, 'address') || !units) return
  const index = diskIndex(name)
  if (index === undefined) throw xmlFailure(`Unknown disk name '${name}' and no address specified`, DOMAIN.domain)
  const perController = units.perBus * units.buses
  insertInOrder(
    disk,
    element('address', {
      type: 'drive',
      controller: String(Math.floor(index / perController)),
      bus: String(Math.floor((index % perController) / units.perBus)),
      target: '0',
      unit: String(index % units.perBus)
    })
  )
}

/** The order in which libvirt adds them (`virDomainDefAddImplicitControllers`). */
const IMPLICIT_CONTROLLERS = ['scsi', 'fdc', 'ide', 'virtio-serial']

/** Controllers that devices need and nobody wrote down. */
function addControllers(devices: XmlElement): void {
  const wanted = new Set<string>()
  for (const disk of childrenNamed(devices, 'disk')) {
    const bus = attribute(find(disk, 'target'), 'bus')
    const controller = attribute(find(disk, 'address'), 'controller')
    if (bus && UNITS[bus] && controller !== undefined) wanted.add(`${bus} ${controller}`)
  }
  const serial = [...childrenNamed(devices, 'channel'), ...childrenNamed(devices, 'console')]
  if (serial.some(device => attribute(find(device, 'target'), 'type') === 'virtio')) wanted.add('virtio-serial 0')
  const rank = (name: string): number => IMPLICIT_CONTROLLERS.indexOf(name.split(' ')[0]!)
  for (const name of [...wanted].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))) {
    const [type, index] = name.split(' ') as [string, string]
    const there = childrenNamed(devices, 'controller').some(
      controller => attribute(controller, 'type') === type && (attribute(controller, 'index') ?? '0') === index
    )
    if (!there) insertInOrder(devices, element('controller', { type, index }))
  }
}

const MAC = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i

/** One in QEMU's range, as `virDomainNetGenerateMAC` takes by default. */
const newMac = (): string => ['52', '54', '00', ...randomBytes(3).toString('hex').match(/../g)!].join(':')

function completeInterface(iface: XmlElement): void {
  const type = attribute(iface, 'type') ?? 'ethernet'
  setAttribute(iface, 'type', type)
  const source = find(iface, 'source')
  if (!source && (type === 'network' || type === 'bridge'))
    throw xmlFailure(`interface type='${type}' requires a 'source' element`, DOMAIN.domain)
  if (type === 'network' && source) {
    if (attribute(source, 'network') === undefined)
      throw xmlFailure("No <source> 'network' attribute specified with <interface type='network'/>", DOMAIN.domain)
    // Only a running domain's interface has a bridge; the definition keeps none.
    setAttribute(source, 'bridge', undefined)
  }
  const mac = find(iface, 'mac')
  const address = attribute(mac, 'address')
  if (!mac || address === undefined) insertInOrder(iface, element('mac', { address: newMac() }))
  else if (!MAC.test(address)) throw xmlFailure(`unable to parse mac address '${address}'`, DOMAIN.domain)
  else
    setAttribute(
      mac,
      'address',
      address
        .split(':')
        .map(part => part.padStart(2, '0').toLowerCase())
        .join(':')
    )
}

/** Every interface of a test domain gets a device: the first free `testnet` number. */
export function nameInterfaces(domain: XmlElement): void {
  const interfaces = childrenNamed(find(domain, 'devices'), 'interface')
  const deviceOf = (iface: XmlElement): string | undefined => attribute(find(iface, 'target'), 'dev')
  for (const iface of interfaces) {
    if (deviceOf(iface) !== undefined) continue
    const taken = new Set(interfaces.map(deviceOf))
    let number = 0
    while (taken.has(`testnet${number}`)) number++
    const target = find(iface, 'target')
    if (target) setAttribute(target, 'dev', `testnet${number}`)
    else insertInOrder(iface, element('target', { dev: `testnet${number}` }))
  }
}

function numberPorts(devices: XmlElement, kind: string): void {
  childrenNamed(devices, kind).forEach((device, index) => {
    const target = find(device, 'target')
    if (!target) device.children.push(element('target', { port: String(index) }))
    else if (attribute(target, 'port') === undefined && attribute(target, 'type') !== 'virtio')
      setAttribute(target, 'port', String(index))
  })
}

/** On a fully virtualised guest the first console is the first serial port, each standing for the other. */
function pairConsoles(devices: XmlElement): void {
  const serials = childrenNamed(devices, 'serial')
  const consoles = childrenNamed(devices, 'console')
  for (const [index, console] of consoles.entries()) {
    const target = find(console, 'target')
    if (!target) console.children.push(element('target', { type: 'serial', port: String(index) }))
    else if (attribute(target, 'type') === undefined) {
      target.attributes.unshift(['type', 'serial'])
      if (attribute(target, 'port') === undefined) setAttribute(target, 'port', String(index))
    }
  }
  const first = consoles[0]
  const last = serials[0]
  if (first && !last && attribute(find(first, 'target'), 'type') === 'serial') {
    const type = attribute(first, 'type') ?? 'pty'
    insertInOrder(devices, element('serial', { type }, element('target', { port: '0' })))
  } else if (last && !first) {
    const type = attribute(last, 'type') ?? 'pty'
    insertInOrder(devices, element('console', { type }, element('target', { type: 'serial', port: '0' })))
  }
}

function completeRest(device: XmlElement): void {
  const has = (name: string): boolean => attribute(device, name) !== undefined
  if (device.name === 'input' && !has('bus'))
    setAttribute(device, 'bus', attribute(device, 'type') === 'tablet' ? 'usb' : 'ps2')
  if (device.name === 'graphics') {
    if (!has('port') && attribute(device, 'type') === 'vnc') {
      setAttribute(device, 'port', '-1')
      setAttribute(device, 'autoport', 'yes')
    }
    if (!find(device, 'listen')) device.children.push(element('listen', { type: 'address' }))
  }
  if (device.name === 'video' && !find(device, 'model'))
    device.children.push(element('model', { type: 'cirrus', vram: '16384', heads: '1', primary: 'yes' }))
}

/** Completes `<devices>` in place. Throws libvirt's error for a device that cannot be. */
export function completeDevices(devices: XmlElement): void {
  sortDisks(devices)
  for (const disk of childrenNamed(devices, 'disk')) completeDisk(disk)
  for (const iface of childrenNamed(devices, 'interface')) completeInterface(iface)
  for (const device of elements(devices)) {
    completeRest(device)
    const address = find(device, 'address')
    if (address) tidyAddress(address)
  }
  numberPorts(devices, 'serial')
  numberPorts(devices, 'parallel')
  pairConsoles(devices)
  addControllers(devices)
}
