import { PROGRAM } from './header.js'
import { REGISTRATIONS } from './messages/events.js'
import { proceduresOf, REMOTE } from './procedures.js'

/**
 * What a broker has to do with a call, by its program and procedure alone, and for one client. Bits answer the questions
 * that are asked of it; none of `KIND_WORK` is what nearly every call has: it is passed on, and its reply passed back.
 * Bits beyond that mask tell something more of a call and cost nothing on its way: there is the place for whether it
 * changes anything at the daemon, and what it binds there.
 */
export const KIND = {
  // Who answers: the driver daemon, but for
  /** authentication, open, close, features, identity, URI, which the broker does itself; */
  local: 0x01,
  /** and a procedure newer than the table: before the connection is open the broker must say that it is not known. */
  unknown: 0x02,

  // What the reply changes
  /** If it is OK it opens a stream. */
  stream: 0x04,
  /** It tells whether the client hears of its driver daemon's death. */
  closeCallback: 0x08,
  /** The client gets events, or gets them no more, which must be known to reconnect it. */
  registration: 0x10,

  // Whether the client may make it
  /** Refused by the policy. */
  forbidden: 0x20,
  /** Refused because the connection is read-only. */
  readOnly: 0x40,
  /** Refused, or answered, with some arguments. */
  inspected: 0x80,

  // More of one with bits from above
  /** Its arguments name an object, some counts, a device or a QEMU event, at most. */
  brief: 0x100,
  /** Holes are allowed in the stream: found out from the arguments. */
  sparse: 0x200,

  // Who is told of it
  /** The audit, as long as there is one. */
  audited: 0x400
} as const

/** Bits of `KIND`. */
export type CallKind = number

export const KIND_WORK = 0x4ff
/** Of a call that goes no further, whatever its arguments. */
export const KIND_REFUSED = KIND.forbidden | KIND.readOnly
/**
 * Of a call that has to come whole before it goes on, because its arguments tell something, or because it may go another way
 * than those before it.
 */
export const KIND_LOOKED_INTO = KIND.stream | KIND.closeCallback | KIND.registration | KIND.inspected
/** Of a call whose reply is more than passed back. */
export const KIND_REPLY = KIND.stream | KIND.closeCallback | KIND.registration

/** Procedures that virtproxyd answers itself, in part or always. */
const LOCAL: readonly number[] = [
  REMOTE.connectOpen,
  REMOTE.connectClose,
  REMOTE.connectSupportsFeature,
  REMOTE.connectGetUri,
  REMOTE.connectSetIdentity,
  REMOTE.authList,
  REMOTE.authSaslInit,
  REMOTE.authSaslStart,
  REMOTE.authSaslStep,
  REMOTE.authPolkit
]
const CLOSE_CALLBACK: readonly number[] = [REMOTE.connectRegisterCloseCallback, REMOTE.connectUnregisterCloseCallback]

function kinds(program: number): Uint16Array {
  const procedures = proceduresOf(program)
  const table = new Uint16Array(1 + Math.max(...procedures.map(procedure => procedure.number))).fill(KIND.unknown)
  for (const { number, kind, stream } of procedures) {
    if (kind === 'call') table[number] = stream === 'none' ? 0 : KIND.stream
  }
  for (const { prog, register, deregister } of REGISTRATIONS) {
    if (prog === program) table[register] = table[deregister] = KIND.registration | KIND.brief
  }
  if (program !== PROGRAM.remote) return table
  for (const number of LOCAL) table[number] = KIND.local
  for (const number of CLOSE_CALLBACK) table[number] = KIND.closeCallback | KIND.brief
  return table
}

/** The kind of every call by program and number; `beyond` is that of numbers that the table does not have. */
export interface KindTables {
  remote: Uint16Array
  qemu: Uint16Array
  lxc: Uint16Array
  beyond: CallKind
}

/** As long as nothing is kept from a client. */
export const PLAIN_KINDS: KindTables = {
  remote: kinds(PROGRAM.remote),
  qemu: kinds(PROGRAM.qemu),
  lxc: kinds(PROGRAM.lxc),
  beyond: KIND.unknown
}

const NONE = new Uint16Array(0)

/** Of a client that is called off: none of its calls is simply passed on. */
export const LOCAL_KINDS: KindTables = { remote: NONE, qemu: NONE, lxc: NONE, beyond: KIND.local }

/** The kind of a call, or undefined if the program is not served. */
export function kindOf(tables: KindTables, prog: number, proc: number): CallKind | undefined {
  if (prog === PROGRAM.remote) return tables.remote[proc] ?? tables.beyond
  if (prog === PROGRAM.qemu) return tables.qemu[proc] ?? tables.beyond
  if (prog === PROGRAM.lxc) return tables.lxc[proc] ?? tables.beyond
  return undefined
}

const SPARSE_FLAG = 1

/** The kind of a call that has come whole: the flags of one that opens a stream are the last word of its arguments. */
export function kindWithArguments(kind: CallKind, prog: number, proc: number, args: Buffer): CallKind {
  const transfers = proc === REMOTE.storageVolUpload || proc === REMOTE.storageVolDownload
  if (!transfers || prog !== PROGRAM.remote || args.length < 4) return kind
  return (args.readUInt32BE(args.length - 4) & SPARSE_FLAG) !== 0 ? kind | KIND.sparse : kind
}

const MAX_BRIEF_BYTES = 64 * 1024
/** Enough for SASL data of 65536 characters at four bytes each. */
const MAX_LOCAL_BYTES = 512 * 1024
/** A stream call carries a volume or a domain and a few words; a longer frame cannot be decoded. */
const MAX_OTHER_BYTES = 4 * 1024 * 1024
/** Of a call that is recorded nobody could say what it was about otherwise: the longest string, and whatever stands with it. */
const MAX_AUDITED_BYTES = MAX_OTHER_BYTES + 128 * 1024

/** Longest arguments of a call of that kind which the broker has to see: longer ones than any that decode are not kept. */
export function mostArgumentBytes(kind: CallKind): number {
  if ((kind & KIND.local) !== 0) return MAX_LOCAL_BYTES
  if ((kind & KIND.brief) !== 0) return MAX_BRIEF_BYTES
  return (kind & KIND.audited) !== 0 ? MAX_AUDITED_BYTES : MAX_OTHER_BYTES
}
