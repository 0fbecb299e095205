import { DOMAIN } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import { checkFlags, interfacesAmbiguous, interfaceStateWrong, invalid, noInterface, xmlFailure } from './failures.js'
import { passes } from './networks.js'
import { readInterface, readRoom, writeInterface, writeList, writeString } from './wire.js'
import { attribute, copyOf, find, isElement, parseXml, printXml, type XmlElement } from './xml.js'

const TYPES = new Set(['ethernet', 'bridge', 'bond', 'vlan'])
const START_MODES = new Set(['none', 'onboot', 'hotplug'])
/** Order in which `virInterfaceDefFormat` prints. */
const ORDER = ['start', 'mtu', 'protocol', 'mac', 'bridge', 'bond', 'vlan']
/** A bridge's or bond's members are printed with both tags. */
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['interface'])

export class Interface {
  active = false
  constructor(readonly definition: XmlElement) {}
  get name(): string {
    return attribute(this.definition, 'name')!
  }
  get mac(): string {
    return attribute(find(this.definition, 'mac'), 'address') ?? ''
  }
}

/** A host interface's definition as libvirt keeps it. Throws libvirt's error. */
export function completeInterface(given: XmlElement): XmlElement {
  const type = attribute(given, 'type')
  if (type === undefined) throw xmlFailure("Missing required attribute 'type' in element 'interface'", DOMAIN.none)
  if (!TYPES.has(type))
    throw xmlFailure(`Invalid value for attribute 'type' in element 'interface': '${type}'.`, DOMAIN.none)
  if (attribute(given, 'name') === undefined) throw xmlFailure('interface has no name', DOMAIN.interface)
  const mode = attribute(find(given, 'start'), 'mode')
  if (mode !== undefined && !START_MODES.has(mode))
    throw xmlFailure(`unknown interface startmode ${mode}`, DOMAIN.interface)
  const rank = (name: string): number => (ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name))
  const tree = copyOf(given)
  tree.children.sort((a, b) => rank(isElement(a) ? a.name : '') - rank(isElement(b) ? b.name : ''))
  return tree
}

export class Interfaces {
  #byName = new Map<string, Interface>()
  /** What a rollback returns to, while a transaction runs. */
  #backup: Map<string, Interface> | undefined

  get all(): Interface[] {
    return [...this.#byName.values()]
  }

  get(name: string): Interface {
    const found = this.#byName.get(name)
    if (!found) throw noInterface(`no interface with matching name '${name}'`)
    return found
  }

  put(definition: XmlElement): Interface {
    const fresh = new Interface(definition)
    fresh.active = this.#byName.get(fresh.name)?.active ?? false
    this.#byName.set(fresh.name, fresh)
    return fresh
  }

  remove(iface: Interface): void {
    this.#byName.delete(iface.name)
  }

  begin(): void {
    if (this.#backup) throw invalid('there is another transaction running.')
    // libvirt's copy knows definitions only: after a rollback nothing is active.
    this.#backup = new Map(this.all.map(iface => [iface.name, new Interface(copyOf(iface.definition))]))
  }

  commit(): void {
    if (!this.#backup) throw invalid('no transaction running, nothing to be committed.')
    this.#backup = undefined
  }

  rollback(): void {
    if (!this.#backup) throw invalid('no transaction running, nothing to rollback.')
    this.#byName = this.#backup
    this.#backup = undefined
  }
}

const counted =
  (active: boolean) =>
  ({ hypervisor, reply }: Call): void =>
    void reply.i32(hypervisor.interfaces.all.filter(iface => iface.active === active).length)
const listed =
  (active: boolean) =>
  ({ hypervisor, args, reply }: Call): void => {
    const most = readRoom(args, 'maxnames', 'REMOTE_INTERFACE_LIST_MAX')
    const names = hypervisor.interfaces.all.filter(iface => iface.active === active).map(iface => iface.name)
    reply.array(names.slice(0, most), writeString)
  }
const named = ({ hypervisor, args }: Call): Interface => hypervisor.interfaces.get(readInterface(args).name)

const setActive =
  (active: boolean, cFunction: string) =>
  ({ hypervisor, args }: Call): void => {
    const { name } = readInterface(args)
    checkFlags(args.u32(), 0, cFunction)
    const iface = hypervisor.interfaces.get(name)
    if (iface.active === active) throw interfaceStateWrong()
    iface.active = active
  }

export const interfaceHandlers: HandlerTable = {
  [REMOTE.connectListAllInterfaces]: ({ hypervisor, args, reply }) => {
    const wanted = args.i32() !== 0
    const flags = args.u32()
    checkFlags(flags, 3, 'testConnectListAllInterfaces')
    const found = hypervisor.interfaces.all.filter(iface => passes(iface, flags, [[2, 1, one => one.active]]))
    writeList(reply, found, wanted, writeInterface)
  },
  [REMOTE.connectNumOfInterfaces]: counted(true),
  [REMOTE.connectListInterfaces]: listed(true),
  [REMOTE.connectNumOfDefinedInterfaces]: counted(false),
  [REMOTE.connectListDefinedInterfaces]: listed(false),
  [REMOTE.interfaceLookupByName]: ({ hypervisor, args, reply }) =>
    writeInterface(reply, hypervisor.interfaces.get(args.string())),
  [REMOTE.interfaceLookupByMacString]: ({ hypervisor, args, reply }) => {
    const mac = args.string()
    const found = hypervisor.interfaces.all.filter(iface => iface.mac.toLowerCase() === mac.toLowerCase())
    if (found.length === 0) throw noInterface(`no interface with matching mac '${mac}'`)
    if (found.length > 1) throw interfacesAmbiguous()
    writeInterface(reply, { name: found[0]!.name, mac })
  },
  [REMOTE.interfaceIsActive]: call => void call.reply.bool(named(call).active),
  [REMOTE.interfaceGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const { name } = readInterface(args)
    checkFlags(args.u32(), 0, 'testInterfaceGetXMLDesc')
    reply.string(printXml(hypervisor.interfaces.get(name).definition, 0, OPEN_ELEMENTS))
  },
  [REMOTE.interfaceDefineXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 1, 'testInterfaceDefineXML')
    const tree = completeInterface(parseXml(xml, 'interface_definition', 'interface'))
    writeInterface(reply, hypervisor.interfaces.put(tree))
  },
  [REMOTE.interfaceUndefine]: call => call.hypervisor.interfaces.remove(named(call)),
  [REMOTE.interfaceCreate]: setActive(true, 'testInterfaceCreate'),
  [REMOTE.interfaceDestroy]: setActive(false, 'testInterfaceDestroy'),
  [REMOTE.interfaceChangeBegin]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeBegin')
    hypervisor.interfaces.begin()
  },
  [REMOTE.interfaceChangeCommit]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeCommit')
    hypervisor.interfaces.commit()
  },
  [REMOTE.interfaceChangeRollback]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeRollback')
    hypervisor.interfaces.rollback()
  }
}
