import type { RemoteError } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import type { Procedure } from '../../protocol/procedures.js'
import { CALL, PLAIN_TABLES, type CallClass, type ClassTables } from '../session/call-classes.js'
import { decidable } from './rules.js'

/** What is made of a call whose arguments decide: the class of refused ones, an answer, or undefined: it goes on. */
export type Finding = CallClass | RemoteError | Buffer | undefined
export type Inspection = (body: Buffer) => Finding

/** Something that keeps calls back: a procedure is not concerned, refused, or refused with some arguments. */
export interface Restriction {
  readonly of: (procedure: Procedure) => CallClass | Inspection | undefined
  /** The class of procedures whose arguments decide. */
  readonly inspected: CallClass
  /** The class of procedures that the table does not have, if they are refused. */
  readonly beyond?: CallClass | undefined
}

/** What one client may do: the table of classes that its calls are looked up in, and the calls whose arguments decide. */
export interface Verdicts {
  readonly tables: ClassTables
  /** What is made of a call of class `conditional` or `counted`. */
  inspect(prog: number, proc: number, body: Buffer): Finding
}

/** Calls that the broker answers itself are always let through. Of several that refuse a call, the first says so. */
export function workOut(restrictions: readonly Restriction[]): Verdicts {
  const inspections = new Map<number, Map<number, readonly Inspection[]>>()
  const table = (program: number, plain: Uint8Array): Uint8Array => {
    const classes = Uint8Array.from(plain)
    const inspected = new Map<number, readonly Inspection[]>()
    for (const procedure of decidable(program)) {
      const { number } = procedure
      if (classes[number] === CALL.local) continue
      const found = restrictions.map(({ of, inspected: callClass }) => ({ ruling: of(procedure), callClass }))
      const refusal = found.map(({ ruling }) => ruling).find(ruling => typeof ruling === 'number')
      const looks = found.filter(({ ruling }) => typeof ruling === 'function')
      if (refusal !== undefined) {
        classes[number] = refusal
      } else if (looks.length > 0) {
        classes[number] = looks[0]!.callClass
        inspected.set(number, looks.map(({ ruling }) => ruling as Inspection))
      }
    }
    inspections.set(program, inspected)
    return classes
  }
  return {
    tables: {
      remote: table(PROGRAM.remote, PLAIN_TABLES.remote),
      qemu: table(PROGRAM.qemu, PLAIN_TABLES.qemu),
      lxc: table(PROGRAM.lxc, PLAIN_TABLES.lxc),
      beyond: restrictions.find(({ beyond }) => beyond !== undefined)?.beyond ?? CALL.unknown
    },
    inspect(prog, proc, body) {
      for (const look of inspections.get(prog)?.get(proc) ?? []) {
        const finding = look(body)
        if (finding !== undefined) return finding
      }
      return undefined
    }
  }
}
