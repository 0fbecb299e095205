import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags, internal, invalid, invalidArg, unsupported } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { inGroup, KEPT_PAIRS, passes } from '../list/filters.js'
import { countActive, listActive, listAll } from '../list/list-handlers.js'
import {
  readNamed,
  readRoom,
  readString,
  readVolume,
  writeList,
  writeNamed,
  writeString,
  writeVolume
} from '../wire.js'
import { attribute, element, find, parseXml, printXml } from '../xml/xml.js'
import { completePool, POOL_TYPES } from './pool-xml.js'
import type { Pool } from './pools.js'

const EVENT = { defined: 0, undefined: 1, started: 2, stopped: 3, created: 4, deleted: 5 } as const
/** STORAGE_POOL_GET_INFO: 2 is running. */
const STATE = { inactive: 0, running: 2 } as const
const TYPE_FLAGS = 0xfffc0
const ALL_FILTERS = 0xfffff
/** What libvirt calls the most that a list has. */
const MOST = 'REMOTE_STORAGE_POOL_LIST_MAX'

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

const all = ({ pools }: Hypervisor): Pool[] => pools.all

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
  [REMOTE.connectListAllStoragePools]: listAll({
    all,
    flags: ALL_FILTERS,
    cFunction: 'testConnectListAllStoragePools',
    fits: (pool, flags) => passes(pool, flags, KEPT_PAIRS) && inGroup(flags, TYPE_FLAGS, POOL_TYPES[pool.type]!.listFlag),
    item: writeNamed
  }),
  [REMOTE.connectNumOfStoragePools]: countActive(all, true),
  [REMOTE.connectListStoragePools]: listActive(all, true, MOST),
  [REMOTE.connectNumOfDefinedStoragePools]: countActive(all, false),
  [REMOTE.connectListDefinedStoragePools]: listActive(all, false, MOST),
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
    const pool = hypervisor.pools.define(completePool(parseXml(xml, 'storage_pool_definition', 'pool')), false)
    hypervisor.events.poolLifecycle(pool, EVENT.defined)
    writeNamed(reply, pool)
  },
  [REMOTE.storagePoolCreateXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 0, 'testStoragePoolCreateXML')
    const pool = hypervisor.pools.define(completePool(parseXml(xml, 'storage_pool_definition', 'pool')), true)
    pool.active = true
    hypervisor.events.poolLifecycle(pool, EVENT.started)
    writeNamed(reply, pool)
  },
  [REMOTE.storagePoolCreate]: ({ hypervisor, args }) => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, 'testStoragePoolCreate')
    const pool = hypervisor.pools.inactiveByName(name)
    pool.active = true
    hypervisor.events.poolLifecycle(pool, EVENT.started)
  },
  [REMOTE.storagePoolBuild]: announced(EVENT.created, 'testStoragePoolBuild'),
  [REMOTE.storagePoolDelete]: announced(EVENT.deleted, 'testStoragePoolDelete'),
  [REMOTE.storagePoolRefresh]: ({ hypervisor, args }) => {
    const { name } = readNamed(args)
    checkFlags(args.u32(), 0, 'testStoragePoolRefresh')
    hypervisor.events.poolRefresh(hypervisor.pools.activeByName(name))
  },
  [REMOTE.storagePoolDestroy]: ({ hypervisor, args }) => {
    const pool = hypervisor.pools.activeByName(readNamed(args).name)
    pool.active = false
    hypervisor.events.poolLifecycle(pool, EVENT.stopped)
    if (!pool.persistent) hypervisor.pools.remove(pool)
  },
  [REMOTE.storagePoolUndefine]: ({ hypervisor, args }) => {
    const pool = hypervisor.pools.inactiveByName(readNamed(args).name)
    hypervisor.events.poolLifecycle(pool, EVENT.undefined)
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
