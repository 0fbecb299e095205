import { DOMAIN } from '../../protocol/errors.js'
import type { EventHub } from './event-hub.js'
import { invalid, noPool, noVolume, operationFailed, xmlFailure } from './failures.js'
import { formatUuid, newUuid, parseUuid } from './uuid.js'
import { VolumeBytes } from './volume-bytes.js'
import type { VolumeRef } from './wire.js'
import { attribute, copyOf, element, find, isElement, printXml, textAt, type XmlElement } from './xml.js'

export const POOL_EVENT = { defined: 0, undefined: 1, started: 2, stopped: 3, created: 4, deleted: 5 } as const

/** Every pool of the test driver claims to hold this many bytes. */
const CAPACITY = 107_374_182_400n

/** Kinds of pools, each with the flag that lists it and the kind of its volumes. */
export const POOL_TYPES: Record<string, { listFlag: number; volumeType: number; format?: string }> = {
  dir: { listFlag: 64, volumeType: 0 },
  fs: { listFlag: 128, volumeType: 0, format: 'auto' },
  netfs: { listFlag: 256, volumeType: 0, format: 'auto' },
  logical: { listFlag: 512, volumeType: 1, format: 'lvm2' },
  disk: { listFlag: 1024, volumeType: 1, format: 'unknown' },
  iscsi: { listFlag: 2048, volumeType: 1 },
  scsi: { listFlag: 4096, volumeType: 1 },
  mpath: { listFlag: 8192, volumeType: 1 },
  rbd: { listFlag: 16384, volumeType: 3 },
  sheepdog: { listFlag: 32768, volumeType: 3 },
  gluster: { listFlag: 0x10000, volumeType: 3 },
  zfs: { listFlag: 0x20000, volumeType: 1 },
  vstorage: { listFlag: 0x40000, volumeType: 0 },
  'iscsi-direct': { listFlag: 0x80000, volumeType: 3 }
}
const NEEDS_PATH = new Set(['dir', 'fs', 'netfs', 'vstorage'])
const NEEDS_HOST = new Set(['netfs', 'iscsi', 'gluster', 'rbd', 'sheepdog', 'iscsi-direct'])
const ORDER = ['name', 'uuid', 'features', 'capacity', 'allocation', 'available', 'source', 'target']
/** Always printed with both tags. */
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['source'])

const rank = (name: string): number => (ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name))

/** A pool definition as libvirt keeps it, without the sizes, which the pool adds. Throws libvirt's error. */
export function completePool(given: XmlElement): XmlElement {
  const type = attribute(given, 'type')
  if (type === undefined) throw xmlFailure("Missing required attribute 'type' in element 'pool'", DOMAIN.none)
  const kind = POOL_TYPES[type]
  if (!kind) throw xmlFailure(`Invalid value for attribute 'type' in element 'pool': '${type}'.`, DOMAIN.none)
  const pool = copyOf(given)
  const name = textAt(pool, 'name') ?? textAt(pool, 'source', 'name')
  if (name === undefined) throw xmlFailure('missing pool source name element', DOMAIN.storage)
  if (name.includes('/')) throw xmlFailure(`name ${name} cannot contain '/'`, DOMAIN.storage)
  const uuid = textAt(pool, 'uuid')
  const bytes = uuid === undefined ? newUuid() : parseUuid(uuid)
  if (!bytes) throw xmlFailure('malformed uuid element', DOMAIN.storage)
  if (NEEDS_HOST.has(type) && !find(pool, 'source', 'host'))
    throw xmlFailure('missing storage pool source host name', DOMAIN.storage)
  if (NEEDS_PATH.has(type) && textAt(pool, 'target', 'path') === undefined)
    throw xmlFailure('missing storage pool target path', DOMAIN.storage)
  const replaced = new Set(['name', 'uuid', 'capacity', 'allocation', 'available'])
  pool.children = pool.children.filter(child => !isElement(child) || !replaced.has(child.name))
  pool.children.push(element('name', {}, name), element('uuid', {}, formatUuid(bytes)))
  let source = find(pool, 'source')
  if (!source) pool.children.push((source = element('source')))
  if (kind.format !== undefined && !find(source, 'format'))
    source.children.push(element('format', { type: kind.format }))
  pool.children.sort((a, b) => rank(isElement(a) ? a.name : '') - rank(isElement(b) ? b.name : ''))
  return pool
}

export class Volume {
  readonly bytes = new VolumeBytes()
  constructor(
    readonly definition: XmlElement,
    readonly name: string,
    readonly path: string,
    /** Bytes, as all sizes of storage. */
    public capacity: bigint,
    public allocation: bigint
  ) {}
  get key(): string {
    return this.path
  }
}

export class Pool {
  definition: XmlElement
  readonly uuid: Buffer
  readonly volumes = new Map<string, Volume>()
  active = false
  persistent: boolean
  autostart = false
  readonly capacity = CAPACITY

  constructor(definition: XmlElement, persistent: boolean) {
    this.definition = definition
    this.uuid = parseUuid(textAt(definition, 'uuid')!)!
    this.persistent = persistent
  }
  get name(): string {
    return textAt(this.definition, 'name')!
  }
  get type(): string {
    return attribute(this.definition, 'type')!
  }
  get path(): string {
    return textAt(this.definition, 'target', 'path') ?? ''
  }
  get allocation(): bigint {
    let sum = 0n
    for (const volume of this.volumes.values()) sum += volume.allocation
    return sum
  }
  get available(): bigint {
    return this.capacity - this.allocation
  }
  /** What the volumes are: 0 file, 1 block device, 3 network. */
  get volumeType(): number {
    return POOL_TYPES[this.type]!.volumeType
  }

  add(volume: Volume): void {
    this.volumes.set(volume.name, volume)
  }
  volume(name: string): Volume {
    const found = this.volumes.get(name)
    if (!found) throw noVolume(`no storage vol with matching name '${name}'`)
    return found
  }
  ref(volume: Volume): VolumeRef {
    return { pool: this.name, name: volume.name, key: volume.key }
  }

  describe(): string {
    const size = (name: string, bytes: bigint): XmlElement => element(name, { unit: 'bytes' }, String(bytes))
    const tree = { ...this.definition, children: [...this.definition.children] }
    const after = tree.children.findIndex(child => isElement(child) && child.name === 'uuid') + 1
    const sizes = [
      size('capacity', this.capacity),
      size('allocation', this.allocation),
      size('available', this.available)
    ]
    tree.children.splice(after, 0, ...sizes)
    return printXml(tree, 0, OPEN_ELEMENTS)
  }
}

export class Pools {
  readonly #byUuid = new Map<string, Pool>()
  constructor(readonly events: EventHub) {}

  get all(): Pool[] {
    return [...this.#byUuid.values()]
  }

  byName(name: string): Pool {
    const found = this.all.find(pool => pool.name === name)
    if (!found) throw noPool(`no storage pool with matching name '${name}'`)
    return found
  }

  byUuid(uuid: Buffer): Pool {
    const found = this.#byUuid.get(uuid.toString('hex'))
    if (!found) throw noPool(`no storage pool with matching uuid '${formatUuid(uuid)}'`)
    return found
  }

  activeByName(name: string): Pool {
    const pool = this.byName(name)
    if (!pool.active) throw invalid(`storage pool '${name}' is not active`)
    return pool
  }

  inactiveByName(name: string): Pool {
    const pool = this.byName(name)
    if (pool.active) throw invalid(`storage pool '${name}' is active`)
    return pool
  }

  /** The first volume of an active pool that fits. */
  findVolume(fits: (volume: Volume) => boolean): { pool: Pool; volume: Volume } | undefined {
    for (const pool of this.all)
      if (pool.active) for (const volume of pool.volumes.values()) if (fits(volume)) return { pool, volume }
    return undefined
  }

  /** Adds or replaces. `live`: the definition is to be started, so nothing active may stand in its way. */
  put(definition: XmlElement, live: boolean): Pool {
    const fresh = new Pool(definition, !live)
    const key = fresh.uuid.toString('hex')
    const same = this.#byUuid.get(key)
    if (same && same.name !== fresh.name)
      throw operationFailed(`pool '${same.name}' is already defined with uuid ${formatUuid(same.uuid)}`, DOMAIN.storage)
    const namesake = this.all.find(pool => pool.name === fresh.name)
    if (!same && namesake)
      throw operationFailed(
        `pool '${fresh.name}' already exists with uuid ${formatUuid(namesake.uuid)}`,
        DOMAIN.storage
      )
    const rival = this.all.find(pool => pool !== same && pool.type === fresh.type && sameSource(pool, fresh))
    if (rival) throw operationFailed(`Storage source conflict with pool: '${rival.name}'`, DOMAIN.storage)
    if (!same) {
      this.#byUuid.set(key, fresh)
      return fresh
    }
    if (live && same.active) throw invalid(`pool is already active as '${same.name}'`, DOMAIN.storage)
    if (!live) same.persistent = true
    same.definition = definition
    return same
  }

  remove(pool: Pool): void {
    this.#byUuid.delete(pool.uuid.toString('hex'))
  }
}

function sameSource(a: Pool, b: Pool): boolean {
  return a.type === 'dir' && a.path === b.path
}

/** The error of storage drivers when a volume is there already. */
export const volumeExists = (): Error => operationFailed('storage vol already exists')
