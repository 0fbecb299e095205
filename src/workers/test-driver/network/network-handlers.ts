import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags, internal, invalid } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { ALL_KEPT, KEPT_PAIRS, passes } from '../list/filters.js'
import { countActive, listActive, listAll } from '../list/list-handlers.js'
import { readNamed, writeNamed } from '../wire.js'
import { attribute, copyOf, find, parseXml, printXml } from '../xml/xml.js'
import { updateNetwork } from './network-update.js'
import { completeNetwork } from './network-xml.js'
import type { Network } from './networks.js'

const EVENT = { defined: 0, undefined: 1, started: 2, stopped: 3 } as const
/** What libvirt calls the most that a list has. */
const MOST = 'REMOTE_NETWORK_LIST_MAX'
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['ip', 'portgroup'])

const define = ({ hypervisor, args, reply }: Call, withFlags: boolean): void => {
  const xml = args.string()
  if (withFlags) checkFlags(args.u32(), 1, 'testNetworkDefineXMLFlags')
  const network = hypervisor.networks.define(completeNetwork(parseXml(xml, 'network_definition', 'network')), false)
  hypervisor.events.networkLifecycle(network, EVENT.defined)
  writeNamed(reply, network)
}

const createXml = ({ hypervisor, args, reply }: Call, withFlags: boolean): void => {
  const xml = args.string()
  if (withFlags) checkFlags(args.u32(), 1, 'testNetworkCreateXMLFlags')
  const network = hypervisor.networks.define(completeNetwork(parseXml(xml, 'network_definition', 'network')), true)
  network.active = true
  hypervisor.events.networkLifecycle(network, EVENT.started)
  writeNamed(reply, network)
}

// Most of the test driver's network calls trust the name and not the UUID; those few that ask state trust the UUID.
const named = ({ hypervisor, args }: Call): Network => hypervisor.networks.byName(readNamed(args).name)
const identified = ({ hypervisor, args }: Call): Network => hypervisor.networks.byUuid(readNamed(args).uuid)

const all = ({ networks }: Hypervisor): Network[] => networks.all

export const networkHandlers: HandlerTable = {
  [REMOTE.connectListAllNetworks]: listAll({
    all,
    flags: ALL_KEPT,
    cFunction: 'testConnectListAllNetworks',
    fits: (network, flags) => passes(network, flags, KEPT_PAIRS),
    item: writeNamed
  }),
  [REMOTE.connectNumOfNetworks]: countActive(all, true),
  [REMOTE.connectListNetworks]: listActive(all, true, MOST),
  [REMOTE.connectNumOfDefinedNetworks]: countActive(all, false),
  [REMOTE.connectListDefinedNetworks]: listActive(all, false, MOST),
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
    call.hypervisor.events.networkLifecycle(network, EVENT.started)
  },
  [REMOTE.networkDestroy]: call => {
    const network = named(call)
    network.active = false
    call.hypervisor.events.networkLifecycle(network, EVENT.stopped)
    if (!network.persistent) call.hypervisor.networks.remove(network)
  },
  [REMOTE.networkUndefine]: call => {
    const network = named(call)
    if (network.active) throw invalid(`Network '${network.name}' is still running`)
    call.hypervisor.events.networkLifecycle(network, EVENT.undefined)
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
