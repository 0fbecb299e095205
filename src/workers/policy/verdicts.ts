import { KIND, PLAIN_KINDS, type CallKind, type KindTables } from '../../protocol/call-kinds.js'
import type { RemoteError } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import type { Procedure } from '../../protocol/procedures.js'
import { decidable } from './rules.js'

/** What is made of a call whose arguments decide: why it is refused, an answer, or undefined: it goes on. */
export type Finding = CallKind | RemoteError | Buffer | undefined
export type Inspection = (body: Buffer) => Finding

/** Something that keeps calls back: a procedure is not concerned, refused, or refused with some arguments. */
export interface Restriction {
  readonly of: (procedure: Procedure) => CallKind | Inspection | undefined
  /** What the kind of a procedure has more if its arguments decide. */
  readonly inspected: CallKind
  /** Why procedures that the table does not have are refused, if they are. */
  readonly beyond?: CallKind
}

/** What else the kinds of procedures have, for whatever a client may do. */
export interface Marking {
  readonly of: (procedure: Procedure) => CallKind
  /** Of procedures that the table does not have. */
  readonly beyond: CallKind
}

const UNMARKED: Marking = { of: () => 0, beyond: 0 }

/** What one client may do: the tables of kinds that its calls are looked up in, and the calls whose arguments decide. */
export interface Verdicts {
  readonly kinds: KindTables
  /** What is made of a call of a kind that is inspected. */
  inspect(prog: number, proc: number, body: Buffer): Finding
}

/** Calls that the broker answers itself are always let through. Of several that refuse a call, the first says so. */
export function workOut(restrictions: readonly Restriction[], marking: Marking = UNMARKED): Verdicts {
  const inspections = new Map<number, Map<number, readonly Inspection[]>>()
  const table = (program: number, plain: Uint16Array): Uint16Array => {
    const kinds = Uint16Array.from(plain)
    const inspected = new Map<number, readonly Inspection[]>()
    for (const procedure of decidable(program)) {
      const { number } = procedure
      if (plain[number] === KIND.local) continue
      kinds[number]! |= marking.of(procedure)
      const found = restrictions.map(({ of, inspected: kind }) => ({ ruling: of(procedure), kind }))
      const refusal = found.map(({ ruling }) => ruling).find(ruling => typeof ruling === 'number')
      const looks = found.filter(({ ruling }) => typeof ruling === 'function')
      if (refusal !== undefined) {
        kinds[number]! |= refusal
      } else if (looks.length > 0) {
        for (const { kind } of looks) kinds[number]! |= kind
        inspected.set(number, looks.map(({ ruling }) => ruling as Inspection))
      }
    }
    inspections.set(program, inspected)
    return kinds
  }
  return {
    kinds: {
      remote: table(PROGRAM.remote, PLAIN_KINDS.remote),
      qemu: table(PROGRAM.qemu, PLAIN_KINDS.qemu),
      lxc: table(PROGRAM.lxc, PLAIN_KINDS.lxc),
      beyond: restrictions.reduce((kind, { beyond = 0 }) => kind | beyond, PLAIN_KINDS.beyond | marking.beyond)
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
