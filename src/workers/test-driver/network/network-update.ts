import { isIPv4 } from 'node:net'
import { DOMAIN } from '../../../protocol/errors.js'
import { internal, invalid, operationUnsupported } from '../failures.js'
import { attribute, childrenNamed, element, find, parseXml, textAt, type XmlElement } from '../xml/xml.js'

/** `virNetworkUpdateCommand` */
const COMMAND = { modify: 1, delete: 2, addLast: 3, addFirst: 4 } as const
/** `virNetworkUpdateSection`, by number */
const SECTIONS = [
  'none',
  'bridge',
  'domain',
  'ip',
  'ip-dhcp-host',
  'ip-dhcp-range',
  'forward',
  'forward-interface',
  'forward-pf',
  'portgroup',
  'dns-host',
  'dns-txt',
  'dns-srv'
]

export interface NetworkChange {
  command: number
  section: number
  /** Which `<ip>` it is about; -1: the first that can have it. */
  parentIndex: number
  xml: string
}

/** One section that can be changed piece by piece. */
interface Section {
  /** Name of the piece's element */
  piece: string
  /** What errors call it. */
  called: string
  /** The element that holds the pieces, made if needed. */
  home(network: XmlElement, parentIndex: number): XmlElement
  /** Whether an existing piece is the one that `piece` names. */
  same(existing: XmlElement, piece: XmlElement): boolean
  check?(network: XmlElement, piece: XmlElement, parentIndex: number): void
  canModify: boolean
}

function childOf(parent: XmlElement, name: string): XmlElement {
  let found = find(parent, name)
  if (!found) parent.children.push((found = element(name)))
  return found
}

function ipOf(network: XmlElement, parentIndex: number): XmlElement {
  const all = childrenNamed(network, 'ip')
  const ip = parentIndex < 0 ? (all.find(one => find(one, 'dhcp')) ?? all[0]) : all[parentIndex]
  if (!ip) {
    const place = `at index ${parentIndex} in network '${textAt(network, 'name')}'`
    throw internal(`couldn't update dhcp host entry - no <ip> element found ${place}`, DOMAIN.network)
  }
  return ip
}

const sameAttributes =
  (...names: string[]) =>
    (existing: XmlElement, piece: XmlElement): boolean =>
      names.every(name => attribute(piece, name) === undefined || attribute(piece, name) === attribute(existing, name))

const toNumber = (ip: string): number => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)

/** A range has to lie within its `<ip>`'s network. */
function checkRange(network: XmlElement, piece: XmlElement, parentIndex: number): void {
  const ip = ipOf(network, parentIndex)
  const [start, end, address] = [attribute(piece, 'start'), attribute(piece, 'end'), attribute(ip, 'address')]
  if (!start || !end || !address || !isIPv4(address) || !isIPv4(start) || !isIPv4(end)) return
  const netmask = attribute(ip, 'netmask')
  const prefix = netmask
    ? toNumber(netmask).toString(2).replace(/0+$/, '').length
    : Number(attribute(ip, 'prefix') ?? 24)
  const block = (of: string): number => Math.floor(toNumber(of) / 2 ** (32 - prefix))
  if (block(start) !== block(address) || block(end) !== block(address))
    throw internal(`range ${start} - ${end} is not entirely within network ${address}/${prefix}`, DOMAIN.none)
}

const dhcp = (network: XmlElement, parentIndex: number): XmlElement => childOf(ipOf(network, parentIndex), 'dhcp')
const dns = (network: XmlElement): XmlElement => childOf(network, 'dns')

const CHANGEABLE: Record<string, Section> = {
  'ip-dhcp-host': {
    piece: 'host',
    called: 'dhcp host entry',
    home: dhcp,
    same: sameAttributes('mac', 'name', 'ip'),
    canModify: true
  },
  'ip-dhcp-range': {
    piece: 'range',
    called: 'dhcp range',
    home: dhcp,
    same: sameAttributes('start', 'end'),
    check: checkRange,
    canModify: false
  },
  'forward-interface': {
    piece: 'interface',
    called: 'forward interface',
    home: network => childOf(network, 'forward'),
    same: sameAttributes('dev'),
    canModify: false
  },
  portgroup: {
    piece: 'portgroup',
    called: 'portgroup',
    home: network => network,
    same: sameAttributes('name'),
    canModify: true
  },
  'dns-host': { piece: 'host', called: 'DNS HOST record', home: dns, same: sameAttributes('ip'), canModify: false },
  'dns-txt': { piece: 'txt', called: 'DNS TXT record', home: dns, same: sameAttributes('name'), canModify: false },
  'dns-srv': {
    piece: 'srv',
    called: 'DNS SRV record',
    home: dns,
    same: sameAttributes('service', 'protocol', 'domain'),
    canModify: false
  }
}

function describeHost(piece: XmlElement): string {
  return ['mac', 'name', 'ip'].map(name => `"${name}='${attribute(piece, name) ?? '(null)'}'"`).join(' ')
}

/** Makes the change in place (`virNetworkDefUpdateSection`). Throws libvirt's error. */
export function updateNetwork(network: XmlElement, change: NetworkChange): void {
  const name = textAt(network, 'name')
  const sectionName = SECTIONS[change.section]
  const section = sectionName === undefined ? undefined : CHANGEABLE[sectionName]
  const piece = parseXml(change.xml, 'network_update_xml')
  if (!section)
    throw operationUnsupported(`can't update '${sectionName ?? '(null)'}' section of network '${name}'`, DOMAIN.network)
  if (piece.name !== section.piece)
    throw internal(
      `unexpected element <${piece.name}>, expecting <${section.piece}>, while updating network '${name}'`,
      DOMAIN.network
    )
  section.check?.(network, piece, change.parentIndex)
  const home = section.home(network, change.parentIndex)
  const found = childrenNamed(home, section.piece).find(existing =>
    change.command === COMMAND.modify && section.piece === 'host'
      ? sameAttributes('mac')(existing, piece)
      : section.same(existing, piece)
  )
  switch (change.command) {
    case COMMAND.addFirst:
    case COMMAND.addLast:
      if (found)
        throw invalid(`there is an existing ${section.called} in network '${name}' that matches`, DOMAIN.network)
      if (change.command === COMMAND.addLast) home.children.push(piece)
      else
        home.children.splice(
          home.children.findIndex(child => typeof child !== 'string' && child.name === section.piece),
          0,
          piece
        )
      break
    case COMMAND.modify:
      if (!section.canModify)
        throw operationUnsupported(`cannot modify ${section.called}s. delete and re-add them instead.`, DOMAIN.network)
      if (!found)
        throw invalid(
          `couldn't locate an existing ${section.called} with ${describeHost(piece)} in network '${name}'`,
          DOMAIN.network
        )
      home.children[home.children.indexOf(found)] = piece
      break
    case COMMAND.delete:
      if (!found) throw invalid(`couldn't locate a matching ${section.called} in network '${name}'`, DOMAIN.network)
      home.children.splice(home.children.indexOf(found), 1)
      break
    default:
      throw internal(`unrecognized network update command code ${change.command}`, DOMAIN.network)
  }
}
