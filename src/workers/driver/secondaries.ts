import { CODE, DOMAIN } from '../../protocol/errors.js'
import { frameLength, frameProcedure, frameProgram, frameStatus, HEADER_BYTES, STATUS } from '../../protocol/header.js'
import type { Owner } from '../../protocol/procedure-row.js'
import { lookup, type Procedure } from '../../protocol/procedures.js'

const CODE_AT = HEADER_BYTES
const DOMAIN_AT = CODE_AT + 4
/** Before it stand whether there is a message, and how long it is. */
const MESSAGE_AT = DOMAIN_AT + 12

/** How a daemon's internal errors begin, if it speaks English, and that of one whose connection to another has gone. */
const INTERNAL = Buffer.from('internal error: ')
const LOST = Buffer.from('internal error: client socket is closed')

const SECONDARIES: readonly Owner[] = ['interface', 'network', 'nodedev', 'nwfilter', 'secret', 'storage']

/**
 * Which other daemon a modular hypervisor daemon needs for the call, as a bit; 0 for none. It connects there at the first
 * such call of a client, and keeps that connection for as long as the client's.
 */
export function secondaryOf(procedure: Procedure | undefined): number {
  const at = procedure === undefined ? -1 : SECONDARIES.indexOf(procedure.owner)
  return at < 0 ? 0 : 1 << at
}

/** Whether the whole reply at `bytes[at]` has an error of libvirt's RPC code, in which the other daemon may have had no part. */
export function isRpcError(bytes: Buffer, at: number): boolean {
  if (frameStatus(bytes, at) !== STATUS.error || frameLength(bytes, at) < MESSAGE_AT) return false
  return bytes.readInt32BE(at + DOMAIN_AT) === DOMAIN.rpc
}

/**
 * Whether the whole reply at `bytes[at]` tells that the other daemon has gone: daemons never open anew what they have lost of
 * another daemon for one of their clients. The same code and domain have errors that a client can have at will, for arguments
 * that are out of range. Only the text tells them apart, where it is not translated. What could not be opened is no loss:
 * that is tried again at the next call.
 */
export function losesSecondary(bytes: Buffer, at: number): boolean {
  if (!isRpcError(bytes, at) || bytes.readInt32BE(at + CODE_AT) !== CODE.internalError) return false
  if (secondaryOf(lookup(frameProgram(bytes, at), frameProcedure(bytes, at))) === 0) return false
  const says = bytes.readUInt32BE(at + MESSAGE_AT - 4) === LOST.length && beginsWith(bytes, at, LOST)
  return says || !beginsWith(bytes, at, INTERNAL)
}

function beginsWith(bytes: Buffer, at: number, text: Buffer): boolean {
  const from = at + MESSAGE_AT
  const to = from + text.length
  return to <= at + frameLength(bytes, at) && bytes.compare(text, 0, text.length, from, to) === 0
}
