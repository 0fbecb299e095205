import { DOMAIN } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import type { EventHub } from './event-hub.js'
import { checkFlags, internal, noNodeDevice, xmlFailure } from './failures.js'
import { readRoom, readString, writeList, writeString } from './wire.js'
import { attribute, childrenNamed, copyOf, find, parseXml, printXml, textAt, type XmlElement } from './xml.js'

const EVENT = { created: 0, deleted: 1 } as const
const MAX_DEVICES = 65536

/** Flags of CONNECT_LIST_ALL_NODE_DEVICES by kind of capability. */
const CAPABILITY_FLAGS: Record<string, number> = {
  system: 1,
  pci: 2,
  usb_device: 4,
  usb: 8,
  net: 0x10,
  scsi_host: 0x20,
  scsi_target: 0x40,
  scsi: 0x80,
  storage: 0x100,
  fc_host: 0x200,
  vports: 0x400,
  scsi_generic: 0x800,
  drm: 0x1000,
  mdev_types: 0x2000,
  mdev: 0x4000,
  ccw: 0x8000,
  css: 0x10000,
  vdpa: 0x20000,
  ap_card: 0x40000,
  ap_queue: 0x80000,
  ap_matrix: 0x100000,
  vpd: 0x200000
}
const ALL_CAPABILITIES = 0x3fffff
const PERSISTENT = 0x10000000
const TRANSIENT = 0x20000000
const INACTIVE = 0x40000000
const ACTIVE = 0x80000000

/** The device that a new virtual port is a copy of, and the name that it gets: the test driver knows one only. */
const PATTERN = 'scsi_host11'
const CREATED = 'scsi_host12'

/** Throws libvirt's error for a definition that it would not take. */
export function completeDevice(given: XmlElement): XmlElement {
  if (textAt(given, 'name') === undefined) throw xmlFailure('missing name element', DOMAIN.nodedev)
  if (childrenNamed(given, 'capability').length === 0)
    throw internal(`no device capabilities for '${textAt(given, 'name')}'`, DOMAIN.nodedev)
  return copyOf(given)
}

export class NodeDevice {
  constructor(readonly definition: XmlElement) {}
  get name(): string {
    return textAt(this.definition, 'name')!
  }
  get parent(): string | undefined {
    return textAt(this.definition, 'parent')
  }
  /** Kinds of what the device can do; a host bus adapter's own come after its first. */
  get capabilities(): string[] {
    return childrenNamed(this.definition, 'capability').map(capability => attribute(capability, 'type') ?? '')
  }
  /** With those inside: `fc_host`, and `vports` for an adapter that can make ports. */
  get allCapabilities(): string[] {
    const inner = childrenNamed(this.definition, 'capability').flatMap(capability =>
      childrenNamed(capability, 'capability').map(one => attribute(one, 'type') ?? '')
    )
    return [...this.capabilities, ...inner.map(type => (type === 'vport_ops' ? 'vports' : type))]
  }
  /** World wide names of a fibre channel adapter. */
  get fibre(): XmlElement | undefined {
    return childrenNamed(find(this.definition, 'capability'), 'capability').find(
      one => attribute(one, 'type') === 'fc_host'
    )
  }
}

export class NodeDevices {
  readonly #byName = new Map<string, NodeDevice>()
  constructor(readonly events: EventHub) {}

  get all(): NodeDevice[] {
    return [...this.#byName.values()]
  }
  has(name: string): boolean {
    return this.#byName.has(name)
  }
  get(name: string): NodeDevice {
    const found = this.#byName.get(name)
    if (!found) throw noNodeDevice(`no node device with matching name '${name}'`)
    return found
  }
  put(definition: XmlElement): NodeDevice {
    const device = new NodeDevice(definition)
    this.#byName.set(device.name, device)
    return device
  }

  /** A virtual port with the names of `wanted`. */
  create(wanted: XmlElement): NodeDevice {
    if (childrenNamed(wanted, 'capability').length === 0)
      throw internal("no device capabilities for 'new device'", DOMAIN.nodedev)
    const ask = new NodeDevice(wanted)
    const fibre = ask.fibre
    if (!fibre) throw internal('Device is not a fibre channel HBA', DOMAIN.nodedev)
    if (ask.parent === undefined || !this.has(ask.parent))
      throw internal("Could not find parent device for 'new device'", DOMAIN.nodedev)
    const made = copyOf(this.get(PATTERN).definition)
    find(made, 'name')!.children = [CREATED]
    const names = new NodeDevice(made).fibre!
    for (const name of ['wwnn', 'wwpn']) find(names, name)!.children = [textAt(fibre, name) ?? '']
    const device = this.put(made)
    this.events.nodeDeviceLifecycle(device.name, EVENT.created)
    return device
  }

  /** Only a virtual port goes away. For anything else libvirt's test driver says yes and does nothing, and so here. */
  destroy(device: NodeDevice): void {
    if (!device.fibre || device.parent === undefined || !this.has(device.parent)) return
    this.events.nodeDeviceLifecycle(device.name, EVENT.deleted)
    this.#byName.delete(device.name)
  }
}

function withCapability(call: Call, capability: string | undefined): NodeDevice[] {
  return call.hypervisor.devices.all.filter(
    device => capability === undefined || device.allCapabilities.includes(capability)
  )
}

const named = ({ hypervisor, args }: Call): NodeDevice => hypervisor.devices.get(args.string())

export const nodeDeviceHandlers: HandlerTable = {
  [REMOTE.connectListAllNodeDevices]: ({ hypervisor, args, reply }) => {
    const wanted = args.i32() !== 0
    const flags = args.u32()
    const states = (PERSISTENT | TRANSIENT | INACTIVE | ACTIVE) >>> 0
    checkFlags(flags, ALL_CAPABILITIES | states, 'testConnectListAllNodeDevices')
    // The devices of this host come with it: they are active and persistent.
    const stateFits =
      (!(flags & (INACTIVE | ACTIVE)) || (flags & ACTIVE) !== 0) &&
      (!(flags & (PERSISTENT | TRANSIENT)) || (flags & PERSISTENT) !== 0)
    const kinds = flags & ALL_CAPABILITIES
    const found = hypervisor.devices.all.filter(
      device => stateFits && (!kinds || device.allCapabilities.some(one => kinds & (CAPABILITY_FLAGS[one] ?? 0)))
    )
    writeList(
      reply,
      found.map(device => device.name),
      wanted,
      writeString
    )
  },
  [REMOTE.nodeNumOfDevices]: call => {
    const capability = call.args.optional(readString)
    checkFlags(call.args.u32(), 0, 'testNodeNumOfDevices')
    call.reply.i32(withCapability(call, capability).length)
  },
  [REMOTE.nodeListDevices]: call => {
    const capability = call.args.optional(readString)
    const most = readRoom(call.args, 'maxnames', 'REMOTE_NODE_DEVICE_LIST_MAX', MAX_DEVICES)
    checkFlags(call.args.u32(), 0, 'testNodeListDevices')
    const names = withCapability(call, capability).map(device => device.name)
    call.reply.array(names.slice(0, most), writeString)
  },
  [REMOTE.nodeDeviceLookupByName]: call => void call.reply.string(named(call).name),
  [REMOTE.nodeDeviceGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const name = args.string()
    checkFlags(args.u32(), 0, 'testNodeDeviceGetXMLDesc')
    reply.string(printXml(hypervisor.devices.get(name).definition))
  },
  [REMOTE.nodeDeviceGetParent]: call => {
    call.reply.optional(named(call).parent, writeString)
  },
  [REMOTE.nodeDeviceNumOfCaps]: call => void call.reply.i32(named(call).capabilities.length),
  [REMOTE.nodeDeviceListCaps]: ({ hypervisor, args, reply }) => {
    const name = args.string()
    const most = readRoom(args, 'maxnames', 'REMOTE_NODE_DEVICE_CAPS_LIST_MAX', MAX_DEVICES)
    reply.array(hypervisor.devices.get(name).capabilities.slice(0, most), writeString)
  },
  [REMOTE.nodeDeviceCreateXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 1, 'testNodeDeviceCreateXML')
    reply.string(hypervisor.devices.create(parseXml(xml, 'node_device_definition', 'device')).name)
  },
  [REMOTE.nodeDeviceDestroy]: call => call.hypervisor.devices.destroy(named(call)),
  [REMOTE.nodeDeviceIsActive]: call => {
    named(call)
    call.reply.bool(true)
  },
  [REMOTE.nodeDeviceIsPersistent]: call => {
    named(call)
    call.reply.bool(true)
  }
}
