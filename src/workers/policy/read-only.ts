import { KIND } from '../../protocol/call-kinds.js'
import { PROGRAM } from '../../protocol/header.js'
import { REMOTE, type Procedure } from '../../protocol/procedures.js'
import { unless } from './conditions.js'
import { permissionOf } from './rules.js'
import type { Restriction } from './verdicts.js'

/** The permissions of calls that only look. Whatever else there is, now or later, changes or gives away something. */
const LOOKING = /^\w+:(getattr|read|read_secure|search_\w+)$/

/** They need a permission to change something, by libvirt's choice, and only tell a figure. */
const GETTERS: readonly number[] = [REMOTE.domainMigrateGetCompressionCache, REMOTE.domainMigrateGetMaxDowntime]

/** Of the entries of a procedure's row (see `Procedure.acl`) those that a read-only connection is not given. */
export function changing({ program, number, acl }: Procedure): readonly string[] {
  if (program === PROGRAM.remote && GETTERS.includes(number)) return []
  return acl.filter(entry => !LOOKING.test(permissionOf(entry)))
}

/**
 * What read-only connections may not do: by the class of access that a call needs, whatever its daemon checks, and what
 * libvirt keeps from them besides. Secrets in descriptions, which depend on flags, are left to the daemon.
 */
export const READ_ONLY: Restriction = {
  of: procedure => (procedure.readonly === 'deny' ? KIND.readOnly : unless(procedure, changing(procedure), KIND.readOnly)),
  inspected: KIND.inspected
}
