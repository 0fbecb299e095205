import { DOMAIN } from '../../../protocol/errors.js'
import { invalid, operationFailed } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { formatUuid, parseUuid } from '../xml/uuid.js'
import { textAt, type XmlElement } from '../xml/xml.js'
import { Definition } from './definition.js'
import { nameInterfaces } from './devices.js'
import { Domain } from './domain.js'
import { TRANSITIONS, type Operation } from './states.js'

/** Makes the transition of the table and tells everybody. `name` is what the client called the domain. */
export function perform(hypervisor: Hypervisor, domain: Domain, operation: Operation, name = domain.name): void {
  domain.move(operation, name, hypervisor.nextDomainId)
  const { event } = TRANSITIONS[operation]
  if (event) domain.announce(hypervisor.events, event[0], event[1])
  hypervisor.dropIfGone(domain)
}

/**
 * Enters a definition under its UUID. `live`: it is to be started at once, so it must not run already. Throws
 * libvirt's error if name and UUID belong to different domains.
 */
export function enter(hypervisor: Hypervisor, tree: XmlElement, live: boolean): { domain: Domain; added: boolean } {
  const definition = new Definition(tree)
  nameInterfaces(tree)
  const uuid = parseUuid(textAt(tree, 'uuid')!)!
  const same = hypervisor.domains.get(uuid.toString('hex'))
  const text = formatUuid(uuid)
  if (same && same.name !== definition.name)
    throw operationFailed(`domain '${same.name}' is already defined with uuid ${text}`, DOMAIN.domain)
  if (!same) {
    for (const other of hypervisor.domains.values())
      if (other.name === definition.name)
        throw operationFailed(
          `domain '${other.name}' already exists with uuid ${formatUuid(other.uuid)}`,
          DOMAIN.domain
        )
    const domain = new Domain(definition, !live)
    hypervisor.domains.set(domain.key, domain)
    return { domain, added: true }
  }
  if (live && same.active) throw invalid(`domain '${same.name}' is already active`, DOMAIN.domain)
  if (!live) {
    same.persistent = true
    if (same.active) same.next = definition
    else same.definition = definition
  } else same.definition = definition
  return { domain: same, added: false }
}
