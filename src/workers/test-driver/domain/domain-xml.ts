import { DOMAIN, RemoteError } from '../../../protocol/errors.js'
import { ARCHITECTURES } from '../node/architectures.js'
import { completeDevices } from './devices.js'
import { insertInOrder, laidOut, putText } from './layout.js'
import { configUnsupported, internal, xmlFailure } from '../failures.js'
import { scaledSize, toKib } from '../xml/units.js'
import { formatUuid, newUuid, parseUuid } from '../xml/uuid.js'
import { attribute, element, find, parseXml, setAttribute, textAt, textOf, type XmlElement } from '../xml/xml.js'

/** What `virDomainVirtType` knows. */
const VIRTUALISATIONS = new Set([
  'qemu',
  'kvm',
  'xen',
  'lxc',
  'uml',
  'openvz',
  'test',
  'vmware',
  'hyperv',
  'vbox',
  'phyp',
  'parallels',
  'bhyve',
  'vz',
  'hvf',
  'none'
])
const OS_TYPES = new Set(['hvm', 'xen', 'linux', 'exe', 'uml', 'xenpvh'])
const DEFAULT_ARCH = 'i686'
/** VIR_ERR_NO_NAME: its text stands alone. */
const NO_NAME = 21

/** Reads a definition from a client. Throws libvirt's error for a definition that it would refuse as well. */
export function parseDomain(text: string): XmlElement {
  return completeDomain(parseXml(text, 'domain_definition', 'domain'))
}

/**
 * A definition as libvirt would keep it: defaults filled in, sizes in KiB, parts in their places. Elements that
 * neither knows stay.
 */
export function completeDomain(given: XmlElement): XmlElement {
  const domain = laidOut(given)
  setAttribute(domain, 'id', undefined)
  checkIdentity(domain)
  checkKind(domain)
  checkMemory(domain)
  checkVcpus(domain)
  completeOs(domain)
  completeCpu(domain)
  const clock = find(domain, 'clock')
  if (!clock) insertInOrder(domain, element('clock', { offset: 'utc' }))
  for (const [name, action] of [
    ['on_poweroff', 'destroy'],
    ['on_reboot', 'restart'],
    ['on_crash', 'destroy']
  ] as const)
    if (!find(domain, name)) insertInOrder(domain, element(name, {}, action))
  let devices = find(domain, 'devices')
  if (!devices) insertInOrder(domain, (devices = element('devices')))
  completeDevices(devices)
  const name = textAt(domain, 'name')!
  if (name.includes('/')) throw xmlFailure(`name ${name} cannot contain '/'`, DOMAIN.domain)
  return laidOut(domain)
}

function checkIdentity(domain: XmlElement): void {
  if (textAt(domain, 'name') === undefined) {
    throw new RemoteError(NO_NAME, DOMAIN.domain, 'missing name information', { str1: 'missing name information' })
  }
  const uuid = find(domain, 'uuid')
  if (!uuid || textOf(uuid) === '') {
    domain.children = domain.children.filter(child => child !== uuid)
    insertInOrder(domain, element('uuid', {}, formatUuid(newUuid())))
  } else {
    const bytes = parseUuid(textOf(uuid))
    if (!bytes) throw internal('malformed uuid element', DOMAIN.domain)
    uuid.children = [formatUuid(bytes)]
  }
}

function checkKind(domain: XmlElement): void {
  const kind = attribute(domain, 'type')
  if (kind === undefined) throw xmlFailure('missing domain type attribute', DOMAIN.domain)
  if (!VIRTUALISATIONS.has(kind)) throw configUnsupported(`invalid domain type ${kind}`, DOMAIN.domain)
  const type = find(domain, 'os', 'type')
  const os = type && textOf(type)
  if (!os) throw xmlFailure('an os <type> must be specified', DOMAIN.domain)
  if (!OS_TYPES.has(os)) throw configUnsupported(`unknown OS type '${os}'`, DOMAIN.domain)
  const arch = attribute(type, 'arch')
  if (arch !== undefined && !ARCHITECTURES.has(arch))
    throw configUnsupported(`Unknown architecture ${arch}`, DOMAIN.domain)
}

function checkMemory(domain: XmlElement): void {
  const total = scaledSize(domain, 'memory', 'KiB')
  const current = scaledSize(domain, 'currentMemory', 'KiB')
  if (total === undefined || total === 0n)
    throw xmlFailure('Memory size must be specified via <memory> or in the <numa> configuration', DOMAIN.domain)
  const totalKib = toKib(total)
  const currentKib = current === undefined || current === 0n ? totalKib : toKib(current)
  putText(domain, 'memory', String(totalKib), { unit: 'KiB' })
  putText(domain, 'currentMemory', String(currentKib > totalKib ? totalKib : currentKib), { unit: 'KiB' })
}

function checkVcpus(domain: XmlElement): void {
  const vcpu = find(domain, 'vcpu')
  const text = vcpu ? textOf(vcpu).trim() : '1'
  if (!/^\d+$/.test(text)) throw xmlFailure('maximum vcpus count must be an integer', DOMAIN.domain)
  const most = Number(text)
  if (most === 0) throw internal('CPU IDs in <numa> exceed the <vcpu> count', DOMAIN.domain)
  const current = attribute(vcpu, 'current')
  if (current !== undefined && !/^\d+$/.test(current))
    throw xmlFailure('current vcpus count must be an integer', DOMAIN.domain)
  if (current !== undefined && Number(current) > most)
    throw configUnsupported('maximum vCPU count must not be less than current vCPU count', DOMAIN.domain)
  putText(domain, 'vcpu', String(most))
  const kept = find(domain, 'vcpu')!
  if (attribute(kept, 'placement') === undefined) kept.attributes.unshift(['placement', 'static'])
  if (current !== undefined && Number(current) === most) setAttribute(kept, 'current', undefined)
}

function completeOs(domain: XmlElement): void {
  const os = find(domain, 'os')!
  const type = find(os, 'type')!
  if (attribute(type, 'arch') === undefined) type.attributes.unshift(['arch', DEFAULT_ARCH])
  const perDevice = (find(domain, 'devices')?.children ?? []).some(
    device => typeof device !== 'string' && find(device, 'boot')
  )
  if (textOf(type) === 'hvm' && !find(os, 'boot') && !perDevice) insertInOrder(os, element('boot', { dev: 'hd' }))
}

function completeCpu(domain: XmlElement): void {
  const cpu = find(domain, 'cpu')
  const model = find(cpu, 'model')
  const topology = find(cpu, 'topology')
  if (model && attribute(model, 'fallback') === undefined) model.attributes.unshift(['fallback', 'allow'])
  if (topology && attribute(topology, 'dies') === undefined) {
    const at = topology.attributes.findIndex(pair => pair[0] === 'sockets')
    topology.attributes.splice(at + 1, 0, ['dies', '1'])
  }
}
