import { DOMAIN } from '../../../protocol/errors.js'
import { invalid, noPool, noVolume, operationFailed } from '../failures.js'
import { NamedObjects, type NamedObject } from '../list/named-objects.js'
import type { VolumeRef } from '../wire.js'
import { parseUuid } from '../xml/uuid.js'
import { attribute, element, isElement, printXml, textAt, type XmlElement } from '../xml/xml.js'
import { POOL_TYPES } from './pool-xml.js'
import type { Volume } from './volumes.js'

/** Every pool of the test driver claims to hold this many bytes. */
const CAPACITY = 107_374_182_400n

/** Always printed with both tags. */
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['source'])

export class Pool implements NamedObject {
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

export class Pools extends NamedObjects<Pool> {
  constructor() {
    super({ called: 'pool', domain: DOMAIN.storage, missing: noPool, missed: 'storage pool' })
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

  /** Adds or replaces. `live`: it is to be started. Throws libvirt's error. */
  define(definition: XmlElement, live: boolean): Pool {
    const fresh = new Pool(definition, !live)
    return this.put(fresh, live, same => {
      const rival = this.all.find(pool => pool !== same && sameSource(pool, fresh))
      if (rival) throw operationFailed(`Storage source conflict with pool: '${rival.name}'`, DOMAIN.storage)
    })
  }
}

const sameSource = (a: Pool, b: Pool): boolean => a.type === 'dir' && b.type === 'dir' && a.path === b.path
