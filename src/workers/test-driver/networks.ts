import { isIP } from 'node:net'
import { CODE, DOMAIN, RemoteError } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import type { EventHub } from './event-hub.js'
import { checkFlags, configUnsupported, internal, invalid, noNetwork, operationFailed, xmlFailure } from './failures.js'
import { updateNetwork } from './network-update.js'
import { formatUuid, newUuid, parseUuid } from './uuid.js'
import { readNamed, readRoom, writeList, writeNamed, writeString, type NamedRef } from './wire.js'
import {
  attribute,
  childrenNamed,
  copyOf,
  element,
  find,
  isElement,
  parseXml,
  printXml,
  setAttribute,
  textAt,
  type XmlElement
} from './xml.js'

const EVENT = { defined: 0, undefined: 1, started: 2, stopped: 3 } as const

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
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['ip', 'portgroup'])
/** VIR_ERR_NO_NAME */
const NO_NAME = 21

const rank = (name: string): number => (ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name))

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
  network.children.sort((a, b) => rank(isElement(a) ? a.name : '') - rank(isElement(b) ? b.name : ''))
  return network
}

export class Network {
  definition: XmlElement
  readonly uuid: Buffer
  active = false
  persistent = true
  autostart = false
  constructor(definition: XmlElement) {
    this.definition = definition
    this.uuid = parseUuid(textAt(definition, 'uuid')!)!
  }
  get name(): string {
    return textAt(this.definition, 'name')!
  }
}

export class Networks {
  readonly #byUuid = new Map<string, Network>()
  constructor(readonly events: EventHub) {}

  get all(): Network[] {
    return [...this.#byUuid.values()]
  }

  byName(name: string): Network {
    const found = this.all.find(network => network.name === name)
    if (!found) throw noNetwork(`no network with matching name '${name}'`)
    return found
  }

  byUuid(uuid: Buffer): Network {
    const found = this.#byUuid.get(uuid.toString('hex'))
    if (!found) throw noNetwork(`no network with matching uuid '${formatUuid(uuid)}'`)
    return found
  }

  /** Adds or replaces. `live`: the definition is to be started, so nothing active may stand in its way. */
  put(definition: XmlElement, live: boolean): Network {
    const fresh = new Network(definition)
    const key = fresh.uuid.toString('hex')
    const same = this.#byUuid.get(key)
    if (same && same.name !== fresh.name)
      throw operationFailed(
        `network '${same.name}' is already defined with uuid ${formatUuid(same.uuid)}`,
        DOMAIN.network
      )
    const namesake = this.all.find(network => network.name === fresh.name)
    if (!same && namesake)
      throw operationFailed(
        `network '${fresh.name}' already exists with uuid ${formatUuid(namesake.uuid)}`,
        DOMAIN.network
      )
    if (!same) {
      fresh.persistent = !live
      this.#byUuid.set(key, fresh)
      return fresh
    }
    if (live && same.active) throw invalid(`network is already active as '${same.name}'`, DOMAIN.network)
    if (!live) same.persistent = true
    same.definition = definition
    return same
  }

  remove(network: Network): void {
    this.#byUuid.delete(network.uuid.toString('hex'))
  }

  tell(network: Network, event: number): void {
    this.events.networkLifecycle(network, event)
  }
}

/** `VIR_CONNECT_LIST_NETWORKS_*`: bits of one pair do not filter when neither or both are set. */
const FILTERS: readonly (readonly [yes: number, no: number, is: (network: Network) => boolean])[] = [
  [2, 1, network => network.active],
  [4, 8, network => network.persistent],
  [16, 32, network => network.autostart]
]
const ALL_FILTERS = 0x3f

/** True if every pair of filter bits lets the object through. */
export function passes<T>(
  object: T,
  flags: number,
  filters: readonly (readonly [yes: number, no: number, is: (object: T) => boolean])[]
): boolean {
  return filters.every(([yes, no, is]) => !(flags & (yes | no)) || (flags & (is(object) ? yes : no)) !== 0)
}

const define = ({ hypervisor, args, reply }: Call, withFlags: boolean): void => {
  const xml = args.string()
  if (withFlags) checkFlags(args.u32(), 1, 'testNetworkDefineXMLFlags')
  const network = hypervisor.networks.put(completeNetwork(parseXml(xml, 'network_definition', 'network')), false)
  hypervisor.networks.tell(network, EVENT.defined)
  writeNamed(reply, network)
}

const createXml = ({ hypervisor, args, reply }: Call, withFlags: boolean): void => {
  const xml = args.string()
  if (withFlags) checkFlags(args.u32(), 1, 'testNetworkCreateXMLFlags')
  const network = hypervisor.networks.put(completeNetwork(parseXml(xml, 'network_definition', 'network')), true)
  network.active = true
  hypervisor.networks.tell(network, EVENT.started)
  writeNamed(reply, network)
}

// Most of the test driver's network calls trust the name and not the UUID; those few that ask state trust the UUID.
const named = ({ hypervisor, args }: Call): Network => hypervisor.networks.byName(readNamed(args).name)
const identified = ({ hypervisor, args }: Call): Network => hypervisor.networks.byUuid(readNamed(args).uuid)

const counted =
  (active: boolean) =>
  ({ hypervisor, reply }: Call): void =>
    void reply.i32(hypervisor.networks.all.filter(network => network.active === active).length)
const listed =
  (active: boolean) =>
  ({ hypervisor, args, reply }: Call): void => {
    const most = readRoom(args, 'maxnames', 'REMOTE_NETWORK_LIST_MAX')
    const names = hypervisor.networks.all.filter(network => network.active === active).map(network => network.name)
    reply.array(names.slice(0, most), writeString)
  }

export const networkHandlers: HandlerTable = {
  [REMOTE.connectListAllNetworks]: ({ hypervisor, args, reply }) => {
    const wanted = args.i32() !== 0
    const flags = args.u32()
    checkFlags(flags, ALL_FILTERS, 'testConnectListAllNetworks')
    const found: NamedRef[] = hypervisor.networks.all.filter(network => passes(network, flags, FILTERS))
    writeList(reply, found, wanted, writeNamed)
  },
  [REMOTE.connectNumOfNetworks]: counted(true),
  [REMOTE.connectListNetworks]: listed(true),
  [REMOTE.connectNumOfDefinedNetworks]: counted(false),
  [REMOTE.connectListDefinedNetworks]: listed(false),
  [REMOTE.networkLookupByName]: ({ hypervisor, args, reply }) =>
    writeNamed(reply, hypervisor.networks.byName(args.string())),
  [REMOTE.networkLookupByUuid]: ({ hypervisor, args, reply }) =>
    writeNamed(reply, hypervisor.networks.byUuid(args.uuid())),
  [REMOTE.networkGetXmlDesc]: call => {
    const ref = readNamed(call.args)
    checkFlags(call.args.u32(), 0, 'testNetworkGetXMLDesc')
    call.reply.string(printXml(call.hypervisor.networks.byName(ref.name).definition, 0, OPEN_ELEMENTS))
  },
  [REMOTE.networkGetBridgeName]: call => {
    const network = named(call)
    const bridge = attribute(find(network.definition, 'bridge'), 'name')
    if (bridge === undefined) throw internal(`network '${network.name}' does not have a bridge name.`)
    call.reply.string(bridge)
  },
  [REMOTE.networkIsActive]: call => void call.reply.bool(identified(call).active),
  [REMOTE.networkIsPersistent]: call => void call.reply.bool(identified(call).persistent),
  [REMOTE.networkGetAutostart]: call => void call.reply.bool(named(call).autostart),
  [REMOTE.networkSetAutostart]: call => {
    const ref = readNamed(call.args)
    const autostart = call.args.i32() !== 0
    call.hypervisor.networks.byName(ref.name).autostart = autostart
  },
  [REMOTE.networkDefineXml]: call => define(call, false),
  [REMOTE.networkDefineXmlFlags]: call => define(call, true),
  [REMOTE.networkCreateXml]: call => createXml(call, false),
  [REMOTE.networkCreateXmlFlags]: call => createXml(call, true),
  [REMOTE.networkCreate]: call => {
    const network = named(call)
    if (network.active) throw invalid(`Network '${network.name}' is already running`)
    network.active = true
    call.hypervisor.networks.tell(network, EVENT.started)
  },
  [REMOTE.networkDestroy]: call => {
    const network = named(call)
    network.active = false
    call.hypervisor.networks.tell(network, EVENT.stopped)
    if (!network.persistent) call.hypervisor.networks.remove(network)
  },
  [REMOTE.networkUndefine]: call => {
    const network = named(call)
    if (network.active) throw invalid(`Network '${network.name}' is still running`)
    call.hypervisor.networks.tell(network, EVENT.undefined)
    call.hypervisor.networks.remove(network)
  },
  [REMOTE.networkUpdate]: ({ hypervisor, args }) => {
    const ref = readNamed(args)
    const [command, section, parentIndex, xml, flags] = [args.u32(), args.u32(), args.i32(), args.string(), args.u32()]
    checkFlags(flags, 3, 'testNetworkUpdate')
    const network = hypervisor.networks.byUuid(ref.uuid)
    if (flags & 1 && !network.active) throw invalid('network is not running', DOMAIN.network)
    const changed = copyOf(network.definition)
    updateNetwork(changed, { command, section, parentIndex, xml })
    network.definition = completeNetwork(changed)
  }
}

/** A network of a definition file: found active. */
export function adoptNetwork(networks: Networks, tree: XmlElement): void {
  networks.put(completeNetwork(tree), false).active = true
}
