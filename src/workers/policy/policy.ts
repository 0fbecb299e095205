import { KIND } from '../../protocol/call-kinds.js'
import type { Procedure } from '../../protocol/procedures.js'
import { unless } from './conditions.js'
import { READ_ONLY } from './read-only.js'
import { SHIELDED } from './shield.js'
import { parseRule, permissionOf, policyName, type Rule, type Subject } from './rules.js'
import { workOut, type Marking, type Restriction, type Verdicts } from './verdicts.js'

/**
 * Who may call what: the rules of the procedure policy, what read-only connections may not do, and the shield. What that means for a
 * client is worked out once for each set of rules that apply together; from then on a call costs the look-up in the
 * table of kinds that it costs anyway.
 */
export class Policy {
  readonly #rules: readonly Rule[]
  readonly #known = new Map<string, Verdicts>()

  /** `shield`: whether the counts in calls are checked. `marking`: for the audit, if there is one. Throws RuleError. */
  constructor(
    rules: readonly string[],
    readonly shield: boolean,
    readonly marking?: Marking
  ) {
    this.#rules = rules.map(parseRule)
  }

  verdictsFor(subject: Subject, readonly: boolean): Verdicts {
    let key = readonly ? '1' : '0'
    for (const rule of this.#rules) key += rule.applies(subject) ? '1' : '0'
    let verdicts = this.#known.get(key)
    if (verdicts === undefined) {
      const rules = this.#rules.filter((_, i) => key[i + 1] === '1')
      verdicts = workOut([
        ...(readonly ? [READ_ONLY] : []),
        ...(rules.length > 0 ? [restriction(rules)] : []),
        ...(this.shield ? [SHIELDED] : [])
      ], this.marking)
      this.#known.set(key, verdicts)
    }
    return verdicts
  }
}

function restriction(rules: readonly Rule[]): Restriction {
  const someAllowed = rules.some(({ verdict }) => verdict === 'allow')
  return {
    of(procedure) {
      const missing = lacking(procedure, rules, someAllowed)
      return missing === undefined ? KIND.forbidden : unless(procedure, missing, KIND.forbidden)
    },
    inspected: KIND.inspected,
    // A procedure that is newer than the table needs permissions that nobody here knows.
    beyond: someAllowed ? KIND.forbidden : 0
  }
}

/** The entries of a procedure's row (see `Procedure.acl`) that the rules do not give; undefined if its name is denied. */
function lacking(procedure: Procedure, rules: readonly Rule[], someAllowed: boolean): readonly string[] | undefined {
  const name = policyName(procedure)
  const named = (verdict: Rule['verdict']): boolean =>
    rules.some(rule => rule.verdict === verdict && rule.words.some(word => word.procedure?.(name)))
  const covers = (verdict: Rule['verdict'], permission: string): boolean =>
    rules.some(rule => rule.verdict === verdict && rule.words.some(word => word.permission?.(permission)))
  if (named('deny')) return undefined
  const byName = named('allow')
  const given = (entry: string): boolean => {
    const permission = permissionOf(entry)
    return !covers('deny', permission) && (!someAllowed || byName || covers('allow', permission))
  }
  return procedure.acl.filter(entry => !given(entry))
}
