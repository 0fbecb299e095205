import { CODE, DOMAIN, templated, type RemoteError } from './errors.js'
import { PROGRAM } from './header.js'
import type { Procedure } from './procedures.js'
import { publicName } from './public-name.js'

const OWNER_DOMAINS: Readonly<Record<string, number>> = {
  hypervisor: DOMAIN.domain,
  network: DOMAIN.network,
  interface: DOMAIN.interface,
  storage: DOMAIN.storage,
  nodedev: DOMAIN.nodedev,
  secret: DOMAIN.secret,
  nwfilter: DOMAIN.nwfilter
}

/** Error domain under which a public function complains by itself: before, or instead of, asking its driver. */
export function publicDomain({ program, name, owner }: Pick<Procedure, 'program' | 'name' | 'owner'>): number {
  if (program !== PROGRAM.remote) return DOMAIN.none
  if (/SNAPSHOT/.test(name)) return DOMAIN.domainSnapshot
  if (/CHECKPOINT/.test(name)) return DOMAIN.domainCheckpoint
  if (name.startsWith('NODE_DEVICE')) return DOMAIN.nodedev
  return OWNER_DOMAINS[owner] ?? DOMAIN.none
}

/** What a public function says on a read-only connection if it is for others only. */
export function readOnlyPrevents(procedure: Procedure): RemoteError {
  const detail = `read only access prevents ${publicName(procedure.name, procedure.program)}`
  return templated(CODE.operationDenied, publicDomain(procedure), 'operation forbidden: %1$s', detail)
}
