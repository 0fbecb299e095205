import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags } from '../failures.js'
import { inGroup } from '../list/filters.js'
import { listAll } from '../list/list-handlers.js'
import { readRoom, readString, writeString } from '../wire.js'
import { parseXml, printXml } from '../xml/xml.js'
import type { NodeDevice } from './node-devices.js'

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
const STATES = (PERSISTENT | TRANSIENT | INACTIVE | ACTIVE) >>> 0

/** The devices of this host come with it: they are active and persistent. */
function fits(device: NodeDevice, flags: number): boolean {
  const kinds = flags & ALL_CAPABILITIES
  return (
    inGroup(flags, INACTIVE | ACTIVE, ACTIVE) &&
    inGroup(flags, PERSISTENT | TRANSIENT, PERSISTENT) &&
    (!kinds || device.allCapabilities.some(one => kinds & (CAPABILITY_FLAGS[one] ?? 0)))
  )
}

function withCapability(call: Call, capability: string | undefined): NodeDevice[] {
  return call.hypervisor.devices.all.filter(
    device => capability === undefined || device.allCapabilities.includes(capability)
  )
}

const named = ({ hypervisor, args }: Call): NodeDevice => hypervisor.devices.get(args.string())

export const nodeDeviceHandlers: HandlerTable = {
  [REMOTE.connectListAllNodeDevices]: listAll({
    all: hypervisor => hypervisor.devices.all,
    flags: ALL_CAPABILITIES | STATES,
    cFunction: 'testConnectListAllNodeDevices',
    fits,
    item: (xdr, device) => writeString(xdr, device.name)
  }),
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
    const device = hypervisor.devices.create(parseXml(xml, 'node_device_definition', 'device'))
    hypervisor.events.nodeDeviceLifecycle(device.name, EVENT.created)
    reply.string(device.name)
  },
  [REMOTE.nodeDeviceDestroy]: call => {
    const { devices, events } = call.hypervisor
    const device = named(call)
    if (devices.destroy(device)) events.nodeDeviceLifecycle(device.name, EVENT.deleted)
  },
  [REMOTE.nodeDeviceIsActive]: call => {
    named(call)
    call.reply.bool(true)
  },
  [REMOTE.nodeDeviceIsPersistent]: call => {
    named(call)
    call.reply.bool(true)
  }
}
