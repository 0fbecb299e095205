import { readObject } from '../../protocol/call-object.js'
import { lookup, type Procedure } from '../../protocol/procedures.js'
import type { ObjectKind } from '../../protocol/procedure-row.js'

/** Arguments of these begin with what is looked for: a name, or a UUID. */
const LOOKUP = /_LOOKUP_BY_(NAME|UUID)$/

/**
 * What a call is about, as far as the first bytes of its arguments tell: the name of a domain, network, pool or the like, behind
 * that of what it belongs to, or a UUID. Undefined where they do not. A client has chosen it.
 */
export function callObject(prog: number, proc: number, head: Buffer): string | undefined {
  const procedure = lookup(prog, proc)
  const kind = procedure && kindAtHead(procedure)
  if (kind === undefined) return undefined
  const names = readObject(kind, head).map(({ type, name, uid }) => (type === 'secret' ? uid : (name ?? uid)))
  return names.length === 0 ? undefined : names.reverse().join('/')
}

function kindAtHead({ name, object }: Procedure): ObjectKind | undefined {
  const [asked] = object.split('>')
  if (asked !== '') return asked as ObjectKind
  const by = LOOKUP.exec(name)?.[1]
  // Of a secret its UUID stands first, of a domain its name.
  return by === undefined ? undefined : by === 'UUID' ? 'secret' : 'domain_name'
}
