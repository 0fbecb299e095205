import type { Owner } from '../../protocol/procedure-row.js'
import type { Procedure } from '../../protocol/procedures.js'
import { DOMAIN } from '../../protocol/errors.js'

const SECONDARIES: readonly Owner[] = ['interface', 'network', 'nodedev', 'nwfilter', 'secret', 'storage']

/**
 * Which other daemon a modular hypervisor daemon needs for the call, as a bit; 0 for none. It connects there at the first
 * such call of a client, and keeps that connection for as long as the client's.
 */
export function secondaryOf(procedure: Procedure | undefined): number {
  const at = procedure === undefined ? -1 : SECONDARIES.indexOf(procedure.owner)
  return at < 0 ? 0 : 1 << at
}

/** Domain of the error that such a call fails with once the other daemon has gone. */
export const SECONDARY_LOST = DOMAIN.rpc
