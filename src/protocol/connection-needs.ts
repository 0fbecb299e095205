import { HEADER_BYTES, frameLength, frameProcedure, frameProgram, frameType, MESSAGE, PROGRAM } from './header.js'
import type { Binds } from './procedure-row.js'
import { proceduresOf, REMOTE } from './procedures.js'

/**
 * Which connection to its driver daemon a call needs.
 *
 * - `any`: one that clients share will do.
 * - `none`: the broker keeps itself what the daemon would keep of it.
 * - `events`: the broker registers once for all who share, unless the arguments say `ownForGood`.
 * - `arguments`: `any` or `ownForGood`, as its arguments say.
 * - `own`: one that nobody else uses, until what it binds is over.
 * - `ownForGood`: the like, and nobody can tell when that is over.
 */
export const NEED = { any: 0, none: 1, events: 2, arguments: 3, own: 4, ownForGood: 5 } as const
export type Need = (typeof NEED)[keyof typeof NEED]

const NEEDS: Record<Binds, Need> = {
  nothing: NEED.any,
  closeCallback: NEED.none,
  autodestroyFlag: NEED.arguments,
  stream: NEED.own,
  descriptors: NEED.own,
  registration: NEED.events,
  autodestroy: NEED.ownForGood,
  migration: NEED.ownForGood,
  descriptorGroup: NEED.ownForGood,
  unknown: NEED.ownForGood,
  client: NEED.ownForGood,
  '': NEED.ownForGood
}

/** VIR_DOMAIN_START_AUTODESTROY */
const AUTODESTROY = 2
/** Bytes of a domain behind its name: UUID and id. */
const DOMAIN_REST_BYTES = 20

const tableOf = (program: number): readonly Need[] => [NEED.ownForGood, ...proceduresOf(program).map(({ binds }) => NEEDS[binds])]

const REMOTE_NEEDS = tableOf(PROGRAM.remote)
const QEMU_NEEDS = tableOf(PROGRAM.qemu)
const LXC_NEEDS = tableOf(PROGRAM.lxc)

function tableFor(prog: number): readonly Need[] | undefined {
  if (prog === PROGRAM.remote) return REMOTE_NEEDS
  if (prog === PROGRAM.qemu) return QEMU_NEEDS
  return prog === PROGRAM.lxc ? LXC_NEEDS : undefined
}

/** What the call needs whose header stands at `bytes[at]`. What the table of procedures does not know may bind anything. */
export function needOf(bytes: Uint8Array, at: number): Need {
  const need = tableFor(frameProgram(bytes, at))?.[frameProcedure(bytes, at)] ?? NEED.ownForGood
  if (frameType(bytes, at) === MESSAGE.call) return need
  // Its arguments stand elsewhere, so that nobody looks what they bind.
  return need === NEED.any || need === NEED.own ? NEED.own : NEED.ownForGood
}

/** As `needOf`, of a call that stands there whole: never `arguments`. */
export function needOfWhole(bytes: Buffer, at: number): Need {
  const need = needOf(bytes, at)
  if (need !== NEED.arguments) return need
  const end = at + frameLength(bytes, at)
  const flags = flagsAt(bytes, at + HEADER_BYTES, end, frameProcedure(bytes, at))
  // What does not decode starts no guest.
  if (flags + 4 > end) return NEED.any
  return (bytes.readUInt32BE(flags) & AUTODESTROY) !== 0 ? NEED.ownForGood : NEED.any
}

/** Where flags stand behind a description or a domain: bytes that follow mean nothing to a daemon. */
function flagsAt(bytes: Buffer, at: number, end: number, proc: number): number {
  if (at + 4 > end) return end
  const length = bytes.readUInt32BE(at)
  const behind = at + 4 + 4 * Math.ceil(length / 4)
  return proc === REMOTE.domainCreateXml ? behind : behind + DOMAIN_REST_BYTES
}
