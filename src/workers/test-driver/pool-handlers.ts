import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import { checkFlags, internal, invalid, invalidArg, unsupported } from './failures.js'
import { passes } from './networks.js'
import { completePool, POOL_EVENT, POOL_TYPES, type Pool } from './pools.js'
import { readNamed, readRoom, readString, readVolume, writeList, writeNamed, writeString, writeVolume } from './wire.js'
import { attribute, element, find, parseXml, printXml } from './xml.js'

/** STORAGE_POOL_GET_INFO: 2 is running. */
const STATE = { inactive: 0, running: 2 } as const
const TYPE_FLAGS = 0xfffc0
const ALL_FILTERS = 0xfffff

const named = ({ hypervisor, args }: Call): Pool => hypervisor.pools.byName(readNamed(args).name)
const identified = ({ hypervisor, args }: Call): Pool => hypervisor.pools.byUuid(readNamed(args).uuid)

/** A call on an inactive pool that does nothing but say so: build and delete. */
const announced =
  (event: number, cFunction: string) =>
  ({ hypervisor, args }: Call): void => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, cFunction)
    hypervisor.events.poolLifecycle(hypervisor.pools.inactiveByName(name), event)
  }

const counted =
  (active: boolean) =>
  ({ hypervisor, reply }: Call): void =>
    void reply.i32(hypervisor.pools.all.filter(pool => pool.active === active).length)
const listed =
  (active: boolean) =>
  ({ hypervisor, args, reply }: Call): void => {
    const most = readRoom(args, 'maxnames', 'REMOTE_STORAGE_POOL_LIST_MAX')
    const names = hypervisor.pools.all.filter(pool => pool.active === active).map(pool => pool.name)
    reply.array(names.slice(0, most), writeString)
  }

function sourcesOf(type: string, spec: string | undefined): string {
  // libvirt's test driver takes the first type for none at all.
  if (type === 'dir') throw internal(`unknown storage pool type ${type}`)
  const source = spec === undefined ? undefined : parseXml(spec, 'storage_source_specification')
  if (type === 'logical') {
    const group = (device: string, name: string) =>
      element(
        'source',
        {},
        element('device', { path: device }),
        element('name', {}, name),
        element('format', { type: 'lvm2' })
      )
    return printXml(element('sources', {}, group('/dev/sda20', 'testvg1'), group('/dev/sda21', 'testvg2')))
  }
  if (type === 'netfs') {
    const host = attribute(find(source, 'host'), 'name')
    if (host === undefined) throw invalidArg('hostname must be specified for netfs sources')
    const share = [
      element('host', { name: host }),
      element('dir', { path: '/testshare' }),
      element('format', { type: 'nfs' })
    ]
    return printXml(element('sources', {}, element('source', {}, ...share)))
  }
  throw unsupported(`pool type '${type}' does not support source discovery`)
}

export const poolHandlers: HandlerTable = {
  [REMOTE.connectListAllStoragePools]: ({ hypervisor, args, reply }) => {
    const wanted = args.i32() !== 0
    const flags = args.u32()
    checkFlags(flags, ALL_FILTERS, 'testConnectListAllStoragePools')
    const found = hypervisor.pools.all.filter(
      pool =>
        passes(pool, flags, [
          [2, 1, one => one.active],
          [4, 8, one => one.persistent],
          [16, 32, one => one.autostart]
        ]) &&
        (!(flags & TYPE_FLAGS) || (flags & POOL_TYPES[pool.type]!.listFlag) !== 0)
    )
    writeList(reply, found, wanted, writeNamed)
  },
  [REMOTE.connectNumOfStoragePools]: counted(true),
  [REMOTE.connectListStoragePools]: listed(true),
  [REMOTE.connectNumOfDefinedStoragePools]: counted(false),
  [REMOTE.connectListDefinedStoragePools]: listed(false),
  [REMOTE.connectFindStoragePoolSources]: ({ args, reply }) => {
    const type = args.string()
    const spec = args.optional(readString)
    checkFlags(args.u32(), 0, 'testConnectFindStoragePoolSources')
    reply.string(sourcesOf(type, spec))
  },
  [REMOTE.storagePoolLookupByName]: ({ hypervisor, args, reply }) =>
    writeNamed(reply, hypervisor.pools.byName(args.string())),
  [REMOTE.storagePoolLookupByUuid]: ({ hypervisor, args, reply }) =>
    writeNamed(reply, hypervisor.pools.byUuid(args.uuid())),
  [REMOTE.storagePoolLookupByVolume]: ({ hypervisor, args, reply }) =>
    writeNamed(reply, hypervisor.pools.byName(readVolume(args).pool)),
  [REMOTE.storagePoolGetInfo]: call => {
    const pool = named(call)
    call.reply
      .u32(pool.active ? STATE.running : STATE.inactive)
      .u64(pool.capacity)
      .u64(pool.allocation)
      .u64(pool.available)
  },
  [REMOTE.storagePoolGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, 'testStoragePoolGetXMLDesc')
    reply.string(hypervisor.pools.byName(name).describe())
  },
  [REMOTE.storagePoolIsActive]: call => void call.reply.bool(identified(call).active),
  [REMOTE.storagePoolIsPersistent]: call => void call.reply.bool(identified(call).persistent),
  [REMOTE.storagePoolGetAutostart]: call => void call.reply.bool(named(call).autostart),
  [REMOTE.storagePoolSetAutostart]: ({ hypervisor, args }) => {
    const { name } = readNamed(args)
    const autostart = args.i32() !== 0
    const pool = hypervisor.pools.byName(name)
    if (!pool.persistent) throw invalidArg('pool has no config file')
    pool.autostart = autostart
  },
  [REMOTE.storagePoolDefineXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 1, 'testStoragePoolDefineXML')
    const pool = hypervisor.pools.put(completePool(parseXml(xml, 'storage_pool_definition', 'pool')), false)
    hypervisor.events.poolLifecycle(pool, POOL_EVENT.defined)
    writeNamed(reply, pool)
  },
  [REMOTE.storagePoolCreateXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 0, 'testStoragePoolCreateXML')
    const pool = hypervisor.pools.put(completePool(parseXml(xml, 'storage_pool_definition', 'pool')), true)
    pool.active = true
    hypervisor.events.poolLifecycle(pool, POOL_EVENT.started)
    writeNamed(reply, pool)
  },
  [REMOTE.storagePoolCreate]: ({ hypervisor, args }) => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, 'testStoragePoolCreate')
    const pool = hypervisor.pools.inactiveByName(name)
    pool.active = true
    hypervisor.events.poolLifecycle(pool, POOL_EVENT.started)
  },
  [REMOTE.storagePoolBuild]: announced(POOL_EVENT.created, 'testStoragePoolBuild'),
  [REMOTE.storagePoolDelete]: announced(POOL_EVENT.deleted, 'testStoragePoolDelete'),
  [REMOTE.storagePoolRefresh]: ({ hypervisor, args }) => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, 'testStoragePoolRefresh')
    hypervisor.events.poolRefresh(hypervisor.pools.activeByName(name))
  },
  [REMOTE.storagePoolDestroy]: ({ hypervisor, args }) => {
    const pool = hypervisor.pools.activeByName(readNamed(args).name)
    pool.active = false
    hypervisor.events.poolLifecycle(pool, POOL_EVENT.stopped)
    if (!pool.persistent) hypervisor.pools.remove(pool)
  },
  [REMOTE.storagePoolUndefine]: ({ hypervisor, args }) => {
    const pool = hypervisor.pools.inactiveByName(readNamed(args).name)
    hypervisor.events.poolLifecycle(pool, POOL_EVENT.undefined)
    hypervisor.pools.remove(pool)
  },
  [REMOTE.storagePoolNumOfVolumes]: ({ hypervisor, args, reply }) =>
    void reply.i32(hypervisor.pools.activeByName(readNamed(args).name).volumes.size),
  [REMOTE.storagePoolListVolumes]: ({ hypervisor, args, reply }) => {
    const { name } = readNamed(args)
    const most = readRoom(args, 'maxnames', 'REMOTE_STORAGE_VOL_LIST_MAX')
    reply.array([...hypervisor.pools.activeByName(name).volumes.keys()].slice(0, most), writeString)
  },
  [REMOTE.storagePoolListAllVolumes]: ({ hypervisor, args, reply }) => {
    const { uuid } = readNamed(args)
    const wanted = args.i32() !== 0
    checkFlags(args.u32(), 0, 'testStoragePoolListAllVolumes')
    const pool = hypervisor.pools.byUuid(uuid)
    if (!pool.active) throw invalid('storage pool is not active')
    writeList(
      reply,
      [...pool.volumes.values()].map(volume => pool.ref(volume)),
      wanted,
      writeVolume
    )
  }
}
