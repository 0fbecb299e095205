import type { Domain } from './domain/domain.js'
import { EventHub } from './event/event-hub.js'
import { domainMissing, noDomain } from './failures.js'
import { Interfaces } from './network/interfaces.js'
import { Networks } from './network/networks.js'
import { type Cell, DEFAULT_NODE, type NodeInfo } from './node/host.js'
import { NodeDevices } from './node/node-devices.js'
import type { PrivateFiles } from './private-files.js'
import { Secrets } from './secret/secrets.js'
import { Pools } from './storage/pools.js'
import type { DomainRef } from './wire.js'
import { formatUuid } from './xml/uuid.js'

/** All that one `test:` URI's clients share. */
export class Hypervisor {
  readonly events = new EventHub()
  readonly domains = new Map<string, Domain>()
  readonly networks = new Networks()
  readonly interfaces = new Interfaces()
  readonly pools = new Pools()
  readonly devices = new NodeDevices()
  readonly secrets = new Secrets()
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
