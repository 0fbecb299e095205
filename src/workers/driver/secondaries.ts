import { DOMAIN } from '../../protocol/errors.js'
import { frameLength, frameProcedure, frameProgram, frameStatus, HEADER_BYTES, STATUS } from '../../protocol/header.js'
import type { Owner } from '../../protocol/procedure-row.js'
import { lookup, type Procedure } from '../../protocol/procedures.js'

/** Behind the code of the error. */
const DOMAIN_AT = HEADER_BYTES + 4

const SECONDARIES: readonly Owner[] = ['interface', 'network', 'nodedev', 'nwfilter', 'secret', 'storage']

/**
 * Which other daemon a modular hypervisor daemon needs for the call, as a bit; 0 for none. It connects there at the first
 * such call of a client, and keeps that connection for as long as the client's.
 */
export function secondaryOf(procedure: Procedure | undefined): number {
  const at = procedure === undefined ? -1 : SECONDARIES.indexOf(procedure.owner)
  return at < 0 ? 0 : 1 << at
}

/**
 * Whether the whole reply at `bytes[at]` tells that the other daemon has gone, by the domain of its error: daemons never open
 * anew what they have lost of another daemon for one of their clients.
 */
export function losesSecondary(bytes: Buffer, at: number): boolean {
  if (frameStatus(bytes, at) !== STATUS.error || frameLength(bytes, at) < DOMAIN_AT + 4) return false
  if (bytes.readInt32BE(at + DOMAIN_AT) !== DOMAIN.rpc) return false
  return secondaryOf(lookup(frameProgram(bytes, at), frameProcedure(bytes, at))) !== 0
}
