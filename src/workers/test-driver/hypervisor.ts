import type { Domain } from './domain.js'
import { domainMissing, noDomain } from './failures.js'
import { EventHub } from './event-hub.js'
import { Interfaces } from './interfaces.js'
import { Networks } from './networks.js'
import { NodeDevices } from './node-devices.js'
import { Pools } from './pools.js'
import type { PrivateFiles } from './private-files.js'
import { Secrets } from './secrets.js'
import { formatUuid } from './uuid.js'
import type { DomainRef } from './wire.js'

/** NODE_GET_INFO: memory in KiB. */
export interface NodeInfo {
  model: string
  memory: bigint
  cpus: number
  mhz: number
  nodes: number
  sockets: number
  cores: number
  threads: number
}

/** A NUMA cell of the pretended host. */
export interface Cell {
  /** KiB, as the capabilities print it */
  memory: bigint
  /** What NODE_GET_FREE_MEMORY adds up. */
  free: bigint
  cpus: number
}

export const DEFAULT_NODE: NodeInfo = {
  model: 'i686',
  memory: 3_145_728n,
  cpus: 16,
  mhz: 1400,
  nodes: 2,
  sockets: 2,
  cores: 2,
  threads: 2
}

/** All that one `test:` URI's clients share. */
export class Hypervisor {
  readonly events = new EventHub()
  readonly domains = new Map<string, Domain>()
  readonly networks = new Networks(this.events)
  readonly interfaces = new Interfaces()
  readonly pools = new Pools(this.events)
  readonly devices = new NodeDevices(this.events)
  readonly secrets = new Secrets(this.events)
  node: NodeInfo = { ...DEFAULT_NODE }
  cells: Cell[] = []
  #lastDomainId = 0

  constructor(
    readonly uri: string,
    readonly files: PrivateFiles
  ) {}

  /** Ids are never used twice. */
  readonly nextDomainId = (): number => ++this.#lastDomainId

  /** The domain that a client's reference means: its UUID counts, and nothing else. */
  domain(ref: DomainRef): Domain {
    const found = this.domains.get(ref.uuid.toString('hex'))
    if (!found) throw noDomain(`no domain with matching uuid '${formatUuid(ref.uuid)}' (${ref.name})`)
    return found
  }

  domainWhere(fits: (domain: Domain) => boolean): Domain {
    for (const domain of this.domains.values()) if (fits(domain)) return domain
    throw domainMissing()
  }

  /** A transient domain ceases to be when it stops. */
  dropIfGone(domain: Domain): void {
    if (!domain.persistent && !domain.active) this.domains.delete(domain.key)
  }
}
