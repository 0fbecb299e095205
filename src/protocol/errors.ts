import { encodeFrame, frameLength, frameStatus, HEADER_BYTES, MESSAGE, PROGRAM_VERSION, STATUS, type Header } from './header.js'
import { XdrReader, XdrWriter } from './xdr.js'

/** Error codes (`virErrorNumber`) that the broker or its embedded driver sends. */
export const CODE = {
  internalError: 1,
  noSupport: 3,
  noConnect: 5,
  invalidConnection: 6,
  invalidArg: 8,
  operationFailed: 9,
  xmlError: 27,
  operationDenied: 29,
  systemError: 38,
  rpc: 39,
  noDomain: 42,
  noNetwork: 43,
  authFailed: 45,
  noStoragePool: 49,
  noStorageVolume: 50,
  noNodeDevice: 53,
  operationInvalid: 55,
  noInterface: 57,
  noNwfilter: 62,
  invalidSecret: 65,
  noSecret: 66,
  configUnsupported: 67,
  operationTimeout: 68,
  noDomainSnapshot: 72,
  invalidStream: 73,
  argumentUnsupported: 74,
  operationAborted: 78,
  authCancelled: 79,
  noDomainMetadata: 80,
  operationUnsupported: 84,
  accessDenied: 88,
  dbusService: 89,
  storageVolumeExists: 90,
  authUnavailable: 94,
  noServer: 95,
  noClient: 96
} as const

/** Parts of libvirt that raise errors (`virErrorDomain`). */
export const DOMAIN = {
  none: 0,
  rpc: 7,
  xml: 5,
  test: 12,
  remote: 13,
  storage: 18,
  network: 19,
  domain: 20,
  nodedev: 22,
  interface: 26,
  secret: 30,
  nwfilter: 33,
  domainSnapshot: 35,
  streams: 38,
  uri: 45,
  dbus: 47,
  identity: 53,
  access: 55,
  polkit: 60,
  admin: 62,
  domainCheckpoint: 69
} as const

const LEVEL_ERROR = 2

/** An error as it travels in a REPLY or STREAM with status ERROR (`remote_error`). */
export class RemoteError extends Error {
  override name = 'RemoteError'
  readonly code: number
  readonly domain: number
  /** The untranslated template of the message, and what went into it. */
  readonly str1: string | undefined
  readonly str2: string | undefined
  readonly str3: string | undefined
  readonly int1: number
  readonly int2: number
  #encoded: Buffer | undefined

  constructor(
    code: number,
    domain: number,
    message: string,
    detail: { str1?: string; str2?: string; str3?: string; int1?: number; int2?: number } = {}
  ) {
    super(message)
    this.code = code
    this.domain = domain
    this.str1 = detail.str1
    this.str2 = detail.str2
    this.str3 = detail.str3
    this.int1 = detail.int1 ?? -1
    this.int2 = detail.int2 ?? -1
  }

  /** As it travels. Put together once: the same refusal may be asked for thousands of times. */
  get encoded(): Buffer {
    return (this.#encoded ??= encodeError(this))
  }
}

/** An error that says the same each time is made once: an object of class Error notes down the stack, which takes its time. */
export function constantError(make: () => RemoteError): () => RemoteError {
  let error: RemoteError | undefined
  return () => (error ??= make())
}

/** libvirt's own limit for what goes into a text (`VIR_ERROR_MAX_LENGTH` less one): a client may have chosen it. */
const MAX_DETAIL_BYTES = 1023

/** No character is cut in two. */
function bounded(detail: string): string {
  if (3 * detail.length <= MAX_DETAIL_BYTES) return detail
  const bytes = Buffer.from(detail.slice(0, MAX_DETAIL_BYTES)).subarray(0, MAX_DETAIL_BYTES)
  return new TextDecoder().decode(bytes, { stream: true })
}

/** Code 39: clients match on the *text* of some of these, so they are never reworded. */
export function rpcError(text: string): RemoteError {
  const message = bounded(text)
  return new RemoteError(CODE.rpc, DOMAIN.rpc, message, { str1: '%s', str2: message })
}

export function internalError(detail: string, domain: number = DOMAIN.rpc): RemoteError {
  return templated(CODE.internalError, domain, 'internal error: %1$s', detail)
}

/** Code 38: `what: text of errno`, with the errno in int1. */
export function systemError(errno: number, text: string, domain: number = DOMAIN.rpc): RemoteError {
  const message = bounded(text)
  return new RemoteError(CODE.systemError, domain, message, { str1: '%s', str2: message, int1: errno })
}

/** An error whose template has one place for a detail, in the numbered form (`%1$s`) of libvirt 9.1 and later. */
export function templated(code: number, domain: number, template: string, text: string): RemoteError {
  const detail = bounded(text)
  return new RemoteError(code, domain, template.replace('%1$s', () => detail), { str1: template, str2: detail })
}

export const unknownProgram = (prog: number, vers: number): RemoteError =>
  rpcError(`Cannot find program ${prog} version ${vers}`)
export const unknownProcedure = (proc: number): RemoteError => rpcError(`unknown procedure: ${proc}`)
export const unexpectedStatus = (status: number): RemoteError => rpcError(`Unexpected message status ${status}`)
export const undecodable = constantError(() => rpcError('Unable to decode message payload'))
export const authenticationRequired = constantError(() => rpcError('authentication required'))

const encodeString = (xdr: XdrWriter, text: string): void => void xdr.string(text)

export function encodeError(error: RemoteError): Buffer {
  return new XdrWriter(128 + 3 * error.message.length)
    .i32(error.code)
    .i32(error.domain)
    .optional(error.message, encodeString)
    .i32(LEVEL_ERROR)
    .bool(false) // the historic domain object
    .optional(error.str1, encodeString)
    .optional(error.str2, encodeString)
    .optional(error.str3, encodeString)
    .i32(error.int1)
    .i32(error.int2)
    .bool(false) // the historic network object
    .finish()
}

/** Throws XdrError when the payload is no error. The historic objects are skipped. */
export function decodeError(payload: Buffer, start = 0, end = payload.length): RemoteError {
  const xdr = new XdrReader(payload, start, end)
  const code = xdr.i32()
  const domain = xdr.i32()
  const message = xdr.optional(x => x.string()) ?? ''
  xdr.i32() // level
  xdr.optional(x => [x.string(), x.uuid(), x.i32()])
  const [str1, str2, str3] = [1, 2, 3].map(() => xdr.optional(x => x.string()))
  const int1 = xdr.i32()
  const int2 = xdr.i32()
  return new RemoteError(code, domain, message, {
    ...(str1 !== undefined && { str1 }),
    ...(str2 !== undefined && { str2 }),
    ...(str3 !== undefined && { str3 }),
    int1,
    int2
  })
}

/** As `decodeError`, of a driver daemon, which may send anything. */
export function readDriverError(payload: Buffer, start = 0, end = payload.length): RemoteError {
  try {
    return decodeError(payload, start, end)
  } catch {
    return rpcError('driver daemon sent an error that cannot be decoded')
  }
}

/** Frames up to this length are judged when they have come whole; no error is longer. */
const MAX_ERROR_FRAME_BYTES = 1024 * 1024

/** libvirt's number of the error in a reply whose header stands at `bytes[at]`; 0 if it is none. */
export function repliedCode(bytes: Buffer, at: number): number {
  if (frameStatus(bytes, at) !== STATUS.error) return 0
  const length = frameLength(bytes, at)
  const there = length >= HEADER_BYTES + 4 && length <= MAX_ERROR_FRAME_BYTES && at + HEADER_BYTES + 4 <= bytes.length
  return Math.max(CODE.internalError, there ? bytes.readInt32BE(at + HEADER_BYTES) : 0)
}

/** The answer to `call` that says it failed. It echoes the caller's program, version, procedure and serial. */
export function errorReply(call: Header, error: RemoteError): Buffer {
  return encodeFrame({ ...call, type: MESSAGE.reply, status: STATUS.error }, error.encoded)
}

/** The frame with which a server breaks an open stream. */
export function streamError(prog: number, proc: number, serial: number, error: RemoteError): Buffer {
  return encodeFrame(
    { prog, vers: PROGRAM_VERSION, proc, type: MESSAGE.stream, serial, status: STATUS.error },
    error.encoded
  )
}
