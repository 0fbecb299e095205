import { auditClassOf } from '../../protocol/audited-calls.js'
import { KIND, type CallKind } from '../../protocol/call-kinds.js'
import { PROGRAM } from '../../protocol/header.js'
import { proceduresOf } from '../../protocol/procedures.js'
import { unless } from './conditions.js'
import { permissionOf } from './rules.js'
import type { Inspection, Marking } from './verdicts.js'

const SECURE = /^\w+:read_secure$/

/** Of procedures that ask for secrets with some flags: what finds that out. */
const ASKS: ReadonlyMap<number, Inspection> = new Map(
  proceduresOf(PROGRAM.remote).flatMap(procedure => {
    if (auditClassOf(procedure.program, procedure.number).recorded !== 'secure') return []
    const look = unless(procedure, procedure.acl.filter(entry => SECURE.test(permissionOf(entry))), KIND.audited)
    return typeof look === 'function' ? [[procedure.number, look] as const] : []
  })
)

/** Whether a call is recorded that is marked. `args`: undefined if they are not there. */
export function isRecorded(prog: number, proc: number, args: Buffer | undefined, reads: boolean): boolean {
  const { recorded } = auditClassOf(prog, proc)
  if (recorded === 'always') return true
  if (recorded === 'session') return false
  if (reads) return true
  // Where it cannot be told, it is told.
  return recorded === 'secure' && (args === undefined || ASKS.get(proc)?.(args) !== undefined)
}

const mark = (reads: boolean): Marking => ({
  of({ program, number }): CallKind {
    const { recorded } = auditClassOf(program, number)
    return recorded === 'always' || recorded === 'secure' || (reads && recorded === 'reads') ? KIND.audited : 0
  },
  // Nobody knows what they do.
  beyond: KIND.audited
})

/** Marks the calls of which there are records, or may be. */
export const AUDITED = { all: mark(true), notable: mark(false) } as const
