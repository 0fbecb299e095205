/**
 * Loaded into a broker under test with `node --import`: two of its functions fail with an exception, as if there were
 * mistakes in them. Calls of one procedure, and the end of clients that do not answer pings.
 */
import { frameProcedure } from '#protocol/header.js'
import { CallFlow } from '#workers/session/call-flow.js'
import { ClientSide } from '#workers/session/client-side.js'

/** A procedure that no libvirt has. */
export const FAULTY_PROCEDURE = 7777

const forward = Object.getOwnPropertyDescriptor(CallFlow.prototype, 'forward')!
  .value as typeof CallFlow.prototype.forward

CallFlow.prototype.forward = function (bytes, at, ...rest) {
  if (frameProcedure(bytes, at) === FAULTY_PROCEDURE) throw new Error('a mistake in a handler')
  return forward.call(this, bytes, at, ...rest)
}

ClientSide.prototype.dead = () => {
  throw new Error('a mistake in a timer')
}
