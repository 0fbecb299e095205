import type { CallKind } from '../../protocol/call-kinds.js'
import { undecodable } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import type { Procedure } from '../../protocol/procedures.js'
import { callFlags, FLAG, hasKnownFlags } from './call-flags.js'
import type { Inspection } from './verdicts.js'

/**
 * What becomes of a call that needs permissions which are not given, the entries `missing` of its row (see
 * `Procedure.acl`): nothing if there are none; refused, or refused with the flags that need them. Where its flags cannot
 * be read it is refused with all.
 */
export function unless(
  { program, number }: Procedure,
  missing: readonly string[],
  refusal: CallKind
): CallKind | Inspection | undefined {
  if (missing.length === 0) return undefined
  const conditions = missing.map(parseCondition).filter(condition => condition !== undefined)
  const readable = program === PROGRAM.remote && hasKnownFlags(number)
  if (conditions.length < missing.length || !readable) return refusal
  return body => {
    const flags = callFlags(number, body)
    if (flags === undefined) return undecodable()
    return conditions.some(condition => condition(flags)) ? refusal : undefined
  }
}

/** The condition of an entry; undefined if there is none. */
function parseCondition(entry: string): ((flags: number) => boolean) | undefined {
  const [, , flags = '', , value] = entry.split(':')
  if (value !== undefined) return argument => argument === FLAG[value]
  if (flags === '') return undefined
  const negated = flags.startsWith('!')
  const mask = flags.slice(negated ? 1 : 0).split('|').reduce((bits, name) => bits | FLAG[name]!, 0)
  return negated ? word => (word & mask) === 0 : word => (word & mask) === mask
}
