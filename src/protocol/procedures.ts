import { PROGRAM } from './header.js'
import type { Binds, Descriptors, Kind, Objects, Owner, Priority, ReadonlyClass, Row, StreamUse } from './procedure-row.js'
import { ADMIN_ROWS, KEEPALIVE_ROWS, LXC_ROWS, QEMU_ROWS, REMOTE_ROWS } from './procedure-table.js'

export { ADMIN, KEEPALIVE, LXC, QEMU, REMOTE } from './procedure-numbers.js'

export interface Procedure {
  /** One of PROGRAM. */
  program: number
  number: number
  /** Name in the protocol without the program's prefix: `DOMAIN_GET_INFO`. */
  name: string
  kind: Kind
  priority: Priority
  stream: StreamUse
  owner: Owner
  /** The daemon itself answers, or may answer. */
  local: boolean
  readonly: ReadonlyClass
  /** Release that brought it; `old`: before 0.4 or unknown; a leading `~`: about. */
  since: string
  /** Whether call (or event) and reply have a body. */
  hasArgs: boolean
  hasReturn: boolean
  descriptors: Descriptors
  /** Permission that filters the objects of a returned list, or empty. */
  aclFilter: string
  /** What it leaves behind in its connection. */
  binds: Binds
  /** Objects that arguments and reply begin with. */
  object: Objects
  /** It only reads: nothing is changed by it, at the daemon or in a guest, and no guest agent is asked. */
  pure: boolean
  /**
   * Permissions asked for: `object:permission`, or `object:permission:FLAG` when the call's flags contain FLAG
   * (`A|B`: all of them, `!A|B`: none of them), or `object:permission::param:value` when an argument has that value.
   */
  acl: readonly string[]
}

function expand(program: number, rows: readonly Row[]): Procedure[] {
  return rows.map(
    ([number, name, kind, priority, stream, owner, local, readonly, since, args, ret, fds, aclFilter, binds, object, pure, acl]) => ({
      program,
      number,
      name,
      kind,
      priority,
      stream,
      owner,
      local: local === 1,
      readonly,
      since,
      hasArgs: args === 1,
      hasReturn: ret === 1,
      descriptors: fds,
      aclFilter,
      binds,
      object,
      pure: pure === 1,
      acl
    })
  )
}

const BY_PROGRAM = new Map<number, readonly Procedure[]>([
  [PROGRAM.remote, expand(PROGRAM.remote, REMOTE_ROWS)],
  [PROGRAM.qemu, expand(PROGRAM.qemu, QEMU_ROWS)],
  [PROGRAM.lxc, expand(PROGRAM.lxc, LXC_ROWS)],
  [PROGRAM.admin, expand(PROGRAM.admin, ADMIN_ROWS)],
  [PROGRAM.keepalive, expand(PROGRAM.keepalive, KEEPALIVE_ROWS)]
])

/** Every known procedure of a program, by rising number; empty for an unknown program. */
export function proceduresOf(program: number): readonly Procedure[] {
  return BY_PROGRAM.get(program) ?? []
}

/** Numbers start at 1 and have no gaps, so the number is the place. A newer procedure than the table's is undefined. */
export function lookup(program: number, procedure: number): Procedure | undefined {
  return BY_PROGRAM.get(program)?.[procedure - 1]
}

/** `DOMAIN_GET_INFO`, or the bare number where the table knows no name: for logs. */
export function procedureName(program: number, procedure: number): string {
  return lookup(program, procedure)?.name ?? String(procedure)
}

/** It waits for no hypervisor: daemons have other workers for it, and it comes back at once. */
export function hasPriority(program: number, procedure: number): boolean {
  return lookup(program, procedure)?.priority === 'high'
}
