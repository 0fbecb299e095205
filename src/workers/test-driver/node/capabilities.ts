import type { Hypervisor } from '../hypervisor.js'
import { element, printXml, type XmlElement } from '../xml/xml.js'
import type { Cell } from './host.js'

const ARCH = 'i686'
const EMULATOR = '/usr/bin/test-hv'
export const SECURITY_MODEL = 'testSecurity'
/** CONNECT_GET_MAX_VCPUS */
export const MAX_VCPUS = 32

/** Page sizes of the host in KiB; each cell has one of the small ones and both large ones. */
const PAGES = [4, 8, 2048, 1_048_576] as const

function cellElement(cell: Cell, id: number, firstCpu: number): XmlElement {
  const small = id === 1 ? PAGES[1] : PAGES[0]
  const pages = [
    [small, cell.memory / BigInt(small)],
    [PAGES[2], 0n],
    [PAGES[3], 0n]
  ] as const
  const cpus = Array.from({ length: cell.cpus }, (_, core) => {
    const cpu = String(firstCpu + core)
    return element('cpu', { id: cpu, socket_id: String(id), die_id: '0', core_id: String(core), siblings: cpu })
  })
  return element(
    'cell',
    { id: String(id) },
    element('memory', { unit: 'KiB' }, String(cell.memory)),
    ...pages.map(([size, count]) => element('pages', { unit: 'KiB', size: String(size) }, String(count))),
    element('cpus', { num: String(cpus.length) }, ...cpus)
  )
}

function guest(osType: string): XmlElement {
  return element(
    'guest',
    {},
    element('os_type', {}, osType),
    element(
      'arch',
      { name: ARCH },
      element('wordsize', {}, '32'),
      element('emulator', {}, EMULATOR),
      element('domain', { type: 'test' })
    ),
    element('features', {}, element('pae'), element('nonpae'))
  )
}

/** CONNECT_GET_CAPABILITIES. */
export function capabilities(hypervisor: Hypervisor): string {
  let cpus = 0
  const cells = hypervisor.cells.map((cell, id) => {
    cpus += cell.cpus
    return cellElement(cell, id, cpus - cell.cpus)
  })
  const host = element(
    'host',
    {},
    element(
      'cpu',
      {},
      element('arch', {}, ARCH),
      element('features', {}, element('pae'), element('nonpae')),
      ...PAGES.map(size => element('pages', { unit: 'KiB', size: String(size) }))
    ),
    element('power_management'),
    element('iommu', { support: 'no' }),
    ...(cells.length > 0 ? [element('topology', {}, element('cells', { num: String(cells.length) }, ...cells))] : []),
    element('secmodel', {}, element('model', {}, SECURITY_MODEL), element('doi', {}, ''))
  )
  // libvirt sets the parts of this one document apart with empty lines.
  const parts = [host, guest('hvm'), guest('xen')].map(part => printXml(part, 1))
  return `<capabilities>\n\n${parts.join('\n')}\n</capabilities>\n`
}

/** CONNECT_GET_DOMAIN_CAPABILITIES, as far as this hypervisor has something to say. */
export function domainCapabilities(): string {
  const values = (name: string, ...all: string[]): XmlElement =>
    element('enum', { name }, ...all.map(value => element('value', {}, value)))
  const unsupported = ['iothreads'].map(name => element(name, { supported: 'no' }))
  return printXml(
    element(
      'domainCapabilities',
      {},
      element('path', {}, EMULATOR),
      element('domain', {}, 'test'),
      element('arch', {}, ARCH),
      element('vcpu', { max: String(MAX_VCPUS) }),
      ...unsupported,
      element('os', { supported: 'yes' }, element('loader', { supported: 'no' })),
      element('cpu', {}, element('mode', { name: 'custom', supported: 'no' })),
      element(
        'devices',
        {},
        element(
          'disk',
          { supported: 'yes' },
          values('diskDevice', 'disk', 'cdrom'),
          values('bus', 'ide', 'scsi', 'virtio')
        ),
        element('hostdev', { supported: 'no' })
      ),
      element('features')
    )
  )
}

/** CONNECT_GET_SYSINFO: the machine that libvirt's test driver pretends to be. */
export const SYSINFO = ((): string => {
  const entry = (name: string, value: string): XmlElement => element('entry', { name }, value)
  const bios = element(
    'bios',
    {},
    entry('vendor', 'LENOVO'),
    entry('version', 'G4ETA1WW (2.61 )'),
    entry('date', '05/07/2014'),
    entry('release', '2.61')
  )
  return printXml(element('sysinfo', { type: 'smbios' }, bios))
})()
