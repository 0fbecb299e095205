import { lookup } from '../../protocol/procedures.js'

/** Longer names are cut: peers choose them. */
const MAX_NAME = 256
/** Arguments of these begin with a name, that of a domain or the like. */
const NAMED = /^(?:DOMAIN|NETWORK|STORAGE_POOL|STORAGE_VOL|INTERFACE|NODE_DEVICE|NWFILTER)_/
/** With a number, or something that may be missing. */
const NOT_NAMED = /_BY_ID$|^DOMAIN_ATTACH$|_MIGRATE_PREPARE|^INTERFACE_CHANGE_/
/** With a volume: the names of its pool and its own. */
const VOLUME = /^STORAGE_VOL_(?!LOOKUP|CREATE)/
const BY_UUID = /_BY_UUID$|^SECRET_(?!LOOKUP|DEFINE)/
const UUID_BYTES = 16

/**
 * What a call is about, as far as the first bytes of its arguments tell: the name of a domain, network, pool or the like, or
 * a UUID. Undefined where they do not. A client has chosen it.
 */
export function callObject(prog: number, proc: number, head: Buffer): string | undefined {
  const procedure = lookup(prog, proc)
  if (procedure?.hasArgs !== true) return undefined
  const { name } = procedure
  if (BY_UUID.test(name)) return uuidOf(head)
  if (!NAMED.test(name) || NOT_NAMED.test(name)) return undefined
  const first = readName(head, 0)
  if (first === undefined || !VOLUME.test(name)) return first?.text
  const second = readName(head, first.end)
  return second === undefined ? first.text : `${first.text}/${second.text}`
}

function uuidOf(head: Buffer): string | undefined {
  if (head.length < UUID_BYTES) return undefined
  return head.toString('hex', 0, UUID_BYTES).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function readName(head: Buffer, at: number): { text: string; end: number } | undefined {
  if (head.length < at + 4) return undefined
  const length = head.readUInt32BE(at)
  if (length === 0 || length > MAX_NAME) return undefined
  const there = Math.min(length, head.length - at - 4)
  const text = head.toString('utf8', at + 4, at + 4 + there)
  // A definition.
  if (text.trimStart().startsWith('<')) return undefined
  return { text: there < length ? `${text}…` : text, end: at + 4 + length + (-length & 3) }
}
