import { PROGRAM } from '../../protocol/header.js'
import type { Procedure } from '../../protocol/procedures.js'
import { CALL, PLAIN_TABLES, type ClassTables } from '../session/call-classes.js'
import { callFlags, FLAG, hasKnownFlags } from './call-flags.js'
import { decidable, parseRule, permissionOf, policyName, type Rule, type Subject } from './rules.js'

/** What one client may do: the table of classes that its calls are looked up in, and the calls whose flags decide. */
export interface Verdicts {
  readonly tables: ClassTables
  /** Whether a call of class `conditional` may go on; undefined if its arguments do not decode. */
  allows(proc: number, body: Buffer): boolean | undefined
}

/** A permission that is needed, and not given, if a call has these flags. */
type Condition = (flags: number) => boolean

/**
 * The procedure policy. What the rules mean for a client is worked out once for each set of rules that apply together;
 * from then on a call costs the look-up in the table of classes that it costs anyway.
 */
export class Policy {
  readonly #rules: readonly Rule[]
  readonly #known = new Map<string, Verdicts>()

  /** Throws RuleError. */
  constructor(rules: readonly string[]) {
    this.#rules = rules.map(parseRule)
  }

  /** Undefined where no rule applies. */
  verdictsFor(subject: Subject): Verdicts | undefined {
    const applying = this.#rules.map(rule => rule.applies(subject))
    if (!applying.includes(true)) return undefined
    const key = applying.map(Number).join('')
    let verdicts = this.#known.get(key)
    if (verdicts === undefined) {
      verdicts = workOut(this.#rules.filter((_, i) => applying[i]))
      this.#known.set(key, verdicts)
    }
    return verdicts
  }
}

function workOut(rules: readonly Rule[]): Verdicts {
  const conditions = new Map<number, Condition[]>()
  const someAllowed = rules.some(({ verdict }) => verdict === 'allow')
  const table = (program: number, plain: Uint8Array): Uint8Array => {
    const classes = Uint8Array.from(plain)
    for (const procedure of decidable(program)) {
      const { number } = procedure
      if (classes[number] === CALL.local) continue
      const { refused, missing } = judge(procedure, rules, someAllowed)
      const readable = program === PROGRAM.remote && hasKnownFlags(number) && classes[number] === CALL.relay
      if (refused || (missing.length > 0 && !readable)) {
        classes[number] = CALL.forbidden
      } else if (missing.length > 0) {
        classes[number] = CALL.conditional
        conditions.set(number, missing)
      }
    }
    return classes
  }
  return {
    tables: {
      remote: table(PROGRAM.remote, PLAIN_TABLES.remote),
      qemu: table(PROGRAM.qemu, PLAIN_TABLES.qemu),
      lxc: table(PROGRAM.lxc, PLAIN_TABLES.lxc),
      // A procedure that is newer than the table needs permissions that nobody here knows.
      beyond: someAllowed ? CALL.forbidden : CALL.unknown
    },
    allows(proc, body) {
      const flags = callFlags(proc, body)
      return flags === undefined ? undefined : !conditions.get(proc)!.some(condition => condition(flags))
    }
  }
}

/** `missing`: permissions that some flags need and the rules do not give. */
function judge(
  procedure: Procedure,
  rules: readonly Rule[],
  someAllowed: boolean
): { refused: boolean; missing: Condition[] } {
  const name = policyName(procedure)
  const named = (verdict: Rule['verdict']): boolean =>
    rules.some(rule => rule.verdict === verdict && rule.words.some(word => word.procedure?.(name)))
  const covers = (verdict: Rule['verdict'], permission: string): boolean =>
    rules.some(rule => rule.verdict === verdict && rule.words.some(word => word.permission?.(permission)))
  if (named('deny')) return { refused: true, missing: [] }
  const byName = named('allow')
  const given = (entry: string): boolean => {
    const permission = permissionOf(entry)
    return !covers('deny', permission) && (!someAllowed || byName || covers('allow', permission))
  }
  const lacking = procedure.acl.filter(entry => !given(entry))
  const missing = lacking.map(parseCondition)
  return { refused: missing.includes(undefined), missing: missing.filter(condition => condition !== undefined) }
}

/** The condition of an entry of the table (see `Procedure.acl`); undefined if there is none. */
function parseCondition(entry: string): Condition | undefined {
  const [, , flags = '', , value] = entry.split(':')
  if (value !== undefined) return argument => argument === FLAG[value]
  if (flags === '') return undefined
  const negated = flags.startsWith('!')
  const mask = flags.slice(negated ? 1 : 0).split('|').reduce((bits, name) => bits | FLAG[name]!, 0)
  return negated ? word => (word & mask) === 0 : word => (word & mask) === mask
}
