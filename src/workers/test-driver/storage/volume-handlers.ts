import { randomBytes } from 'node:crypto'
import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import { MAX_CHUNK, type StreamEnd, type Supply } from '../../serving/streams.js'
import type { Call, HandlerTable } from '../call.js'
import { argumentUnsupported, checkFlags, internal, invalidArg, noVolume, operationFailed } from '../failures.js'
import { readNamed, readVolume, type VolumeRef, writeVolume } from '../wire.js'
import { parseXml } from '../xml/xml.js'
import type { Pool } from './pools.js'
import { noSpace } from './volume-bytes.js'
import { completeVolume, describeVolume } from './volume-xml.js'
import type { Volume} from './volumes.js'
import { volumeExists } from './volumes.js'

const RESIZE = { allocate: 1, delta: 2, shrink: 4 } as const
const SPARSE = 1
const WIPE = { zero: 0, random: 8 } as const
/** VIR_STORAGE_VOL_GET_PHYSICAL */
const PHYSICAL = 1

function find({ hypervisor }: Call, ref: VolumeRef): { pool: Pool; volume: Volume } {
  const pool = hypervisor.pools.activeByName(ref.pool)
  return { pool, volume: pool.volume(ref.name) }
}

function lookup(call: Call, what: 'key' | 'path'): void {
  const text = call.args.string()
  const found = call.hypervisor.pools.findVolume(volume => volume.path === text)
  if (!found) throw noVolume(`no storage vol with matching ${what} '${text}'`)
  writeVolume(call.reply, found.pool.ref(found.volume))
}

function create(pool: Pool, xml: string): Volume {
  const volume = completeVolume(parseXml(xml, 'storage_volume_definition', 'volume'), pool)
  if (pool.volumes.has(volume.name)) throw volumeExists()
  return volume
}

function addTo(call: Call, pool: Pool, volume: Volume): void {
  if (pool.allocation + volume.allocation > pool.capacity)
    throw internal(`Not enough free space in pool for volume '${volume.name}'`)
  pool.add(volume)
  writeVolume(call.reply, pool.ref(volume))
}

const info =
  (withFlags: boolean) =>
    (call: Call): void => {
      const ref = readVolume(call.args)
      const flags = withFlags ? call.args.u32() : 0
      checkFlags(flags, PHYSICAL, 'testStorageVolGetInfoFlags')
      const { pool, volume } = find(call, ref)
      // A volume of this driver lies where it says and takes what it says: there is no other physical size.
      call.reply.i32(pool.volumeType).u64(volume.capacity).u64(volume.allocation)
    }

function wipe(call: Call, algorithm: number, ref: VolumeRef): void {
  const { volume } = find(call, ref)
  volume.bytes.free()
  if (algorithm === WIPE.zero) return
  if (algorithm !== WIPE.random) throw argumentUnsupported(`wipe algorithm ${algorithm} is not supported`)
  for (let at = 0; at < Number(volume.capacity); at += MAX_CHUNK)
    volume.bytes.write(at, randomBytes(Math.min(MAX_CHUNK, Number(volume.capacity) - at)))
}

/** What an upload or download covers, in bytes. */
interface Span {
  volume: Volume
  from: number
  to: number
  sparse: boolean
}

function spanOf(call: Call, cFunction: string): Span {
  const ref = readVolume(call.args)
  const [offset, length, flags] = [call.args.u64(), call.args.u64(), call.args.u32()]
  checkFlags(flags, SPARSE, cFunction)
  const { volume } = find(call, ref)
  const end = length === 0n || offset + length > volume.capacity ? volume.capacity : offset + length
  const from = offset > end ? end : offset
  return { volume, from: Number(from), to: Number(end), sparse: (flags & SPARSE) !== 0 }
}

/** Client to volume. What does not fit breaks the stream, as a full disk would. */
function uploadEnd({ volume, from, to, sparse }: Span): StreamEnd {
  let at = from
  const advance = (count: number): void => {
    if (at + count > to) throw noSpace()
    at += count
  }
  return {
    take: bytes => {
      const start = at
      advance(bytes.length)
      volume.bytes.write(start, bytes)
    },
    ...(sparse && {
      skip: (length: bigint) => {
        const start = at
        if (length < 0n || length > BigInt(Number.MAX_SAFE_INTEGER)) throw noSpace()
        advance(Number(length))
        volume.bytes.clear(start, Number(length))
      }
    })
  }
}

/** Volume to client, with holes where nothing was written if the client asked for them. */
function downloadEnd({ volume, from, to, sparse }: Span): StreamEnd {
  let at = from
  return {
    supply: (): Supply => {
      if (at >= to) return 'end'
      const extent = sparse ? volume.bytes.extent(at, to - at) : { data: true, length: to - at }
      const start = at
      if (!extent.data) {
        at += extent.length
        return { hole: BigInt(extent.length) }
      }
      const length = Math.min(extent.length, MAX_CHUNK)
      at += length
      return volume.bytes.read(start, length)
    }
  }
}

export const volumeHandlers: HandlerTable = {
  [REMOTE.storageVolLookupByName]: ({ hypervisor, args, reply }) => {
    const { name: poolName } = readNamed(args)
    const name = args.string()
    const pool = hypervisor.pools.activeByName(poolName)
    writeVolume(reply, pool.ref(pool.volume(name)))
  },
  [REMOTE.storageVolLookupByKey]: call => lookup(call, 'key'),
  [REMOTE.storageVolLookupByPath]: call => lookup(call, 'path'),
  [REMOTE.storageVolGetInfo]: info(false),
  [REMOTE.storageVolGetInfoFlags]: info(true),
  [REMOTE.storageVolGetXmlDesc]: call => {
    const ref = readVolume(call.args)
    checkFlags(call.args.u32(), 0, 'testStorageVolGetXMLDesc')
    const { pool, volume } = find(call, ref)
    call.reply.string(describeVolume(volume, pool))
  },
  [REMOTE.storageVolGetPath]: call => void call.reply.string(find(call, readVolume(call.args)).volume.path),
  [REMOTE.storageVolCreateXml]: call => {
    const { name } = readNamed(call.args)
    const xml = call.args.string()
    checkFlags(call.args.u32(), 0, 'testStorageVolCreateXML')
    const pool = call.hypervisor.pools.activeByName(name)
    addTo(call, pool, create(pool, xml))
  },
  [REMOTE.storageVolCreateXmlFrom]: call => {
    const { name } = readNamed(call.args)
    const xml = call.args.string()
    const original = readVolume(call.args)
    checkFlags(call.args.u32(), 0, 'testStorageVolCreateXMLFrom')
    const pool = call.hypervisor.pools.activeByName(name)
    const volume = create(pool, xml)
    const source = pool.volume(original.name)
    if (volume.capacity < source.capacity) volume.capacity = source.capacity
    addTo(call, pool, volume)
    source.bytes.copyTo(volume.bytes)
  },
  [REMOTE.storageVolDelete]: call => {
    const ref = readVolume(call.args)
    checkFlags(call.args.u32(), 0, 'testStorageVolDelete')
    const { pool, volume } = find(call, ref)
    volume.bytes.free()
    pool.volumes.delete(volume.name)
  },
  [REMOTE.storageVolResize]: call => {
    const ref = readVolume(call.args)
    const [given, flags] = [call.args.u64(), call.args.u32()]
    checkFlags(flags, RESIZE.allocate | RESIZE.delta | RESIZE.shrink, 'testStorageVolResize')
    const { pool, volume } = find(call, ref)
    const shrink = (flags & RESIZE.shrink) !== 0
    const capacity = flags & RESIZE.delta ? (shrink ? volume.capacity - given : volume.capacity + given) : given
    if (capacity < volume.capacity && !shrink) {
      const refused = "Can't shrink capacity below current capacity unless shrink flag explicitly specified"
      throw invalidArg(refused, DOMAIN.storage)
    }
    const grown = capacity - volume.allocation
    if (flags & RESIZE.allocate && grown > pool.available)
      throw operationFailed('Not enough space left in storage pool', DOMAIN.storage)
    const size = capacity < 0n ? 0n : capacity
    if (size < volume.capacity) volume.bytes.clear(Number(size), Number(volume.capacity - size))
    volume.capacity = size
    if (flags & RESIZE.allocate || volume.allocation > size) volume.allocation = size
  },
  [REMOTE.storageVolWipe]: call => {
    const ref = readVolume(call.args)
    checkFlags(call.args.u32(), 0, 'testStorageVolWipe')
    wipe(call, WIPE.zero, ref)
  },
  [REMOTE.storageVolWipePattern]: call => {
    const ref = readVolume(call.args)
    const algorithm = call.args.u32()
    checkFlags(call.args.u32(), 0, 'testStorageVolWipePattern')
    wipe(call, algorithm, ref)
  },
  [REMOTE.storageVolUpload]: call => uploadEnd(spanOf(call, 'testStorageVolUpload')),
  [REMOTE.storageVolDownload]: call => downloadEnd(spanOf(call, 'testStorageVolDownload'))
}
