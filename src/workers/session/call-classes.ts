import { PROGRAM } from '../../protocol/header.js'
import { REGISTRATIONS } from '../../protocol/messages/events.js'
import { proceduresOf, REMOTE } from '../../protocol/procedures.js'

/** What the broker has to do with a call, judged by its program and procedure alone. */
export const CALL = {
  /** Passed on; the reply is passed back. Procedures newer than the table are of this class too. */
  relay: 0,
  /** Answered here: authentication, open, close, features, identity, URI. */
  local: 1,
  /** Passed on; an OK reply opens a stream. */
  stream: 2,
  /** Passed on; the reply tells whether the client hears of its driver's death. */
  closeCallback: 3,
  /** Not in the table: before the connection is open the broker must say so itself. */
  unknown: 4,
  /** As `stream`, and holes are allowed in it. Found out from the arguments of the call. */
  sparseStream: 5,
  /** Passed on; registers or deregisters for events, which must be known to reconnect the client after a restart. */
  registration: 6,
  /** Refused by the policy. */
  forbidden: 7,
  /** As `relay`, if there is nothing in its arguments that is refused. */
  conditional: 8,
  /** Refused because the connection is read-only. */
  readOnly: 9,
  /** As `relay`, if the counts in its arguments are within their bounds. */
  counted: 10
} as const
export type CallClass = (typeof CALL)[keyof typeof CALL]

/** Whether calls of this class open streams. */
export function opensStream(callClass: number): boolean {
  return callClass === CALL.stream || callClass === CALL.sparseStream
}

/** Whether calls of this class go no further, whatever their arguments. */
export function isRefused(callClass: number): boolean {
  return callClass === CALL.forbidden || callClass === CALL.readOnly
}

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

function classes(program: number): Uint8Array {
  const procedures = proceduresOf(program)
  const table = new Uint8Array(1 + Math.max(...procedures.map(procedure => procedure.number))).fill(CALL.unknown)
  for (const { number, kind, stream } of procedures) {
    if (kind === 'call') table[number] = stream === 'none' ? CALL.relay : CALL.stream
  }
  for (const { prog, register, deregister } of REGISTRATIONS) {
    if (prog === program) table[register] = table[deregister] = CALL.registration
  }
  if (program !== PROGRAM.remote) return table
  for (const number of LOCAL) table[number] = CALL.local
  for (const number of CLOSE_CALLBACK) table[number] = CALL.closeCallback
  return table
}

/** The class of every call by program and number; `beyond` is that of numbers that the table does not have. */
export interface ClassTables {
  remote: Uint8Array
  qemu: Uint8Array
  lxc: Uint8Array
  beyond: CallClass
}

/** As long as nothing is kept from a client. */
export const PLAIN_TABLES: ClassTables = {
  remote: classes(PROGRAM.remote),
  qemu: classes(PROGRAM.qemu),
  lxc: classes(PROGRAM.lxc),
  beyond: CALL.unknown
}

/** The class of a call, or undefined if the program is not served. */
export function classify(tables: ClassTables, prog: number, proc: number): CallClass | undefined {
  if (prog === PROGRAM.remote) return (tables.remote[proc] ?? tables.beyond) as CallClass
  if (prog === PROGRAM.qemu) return (tables.qemu[proc] ?? tables.beyond) as CallClass
  if (prog === PROGRAM.lxc) return (tables.lxc[proc] ?? tables.beyond) as CallClass
  return undefined
}

/** Registrations and calls with counts name an object, and perhaps a device or a QEMU event, at most. */
export const MAX_BRIEF_BYTES = 64 * 1024
/** Longest arguments of a call that the broker answers: enough for SASL data of 65536 characters at four bytes each. */
export const MAX_LOCAL_BYTES = 512 * 1024
