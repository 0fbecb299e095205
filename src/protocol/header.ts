/**
 * The 28 bytes that start every frame (libvirt's `virNetMessageHeader`, preceded by the length word), read and
 * written in place. All words are big-endian.
 *
 *     0      4      8      12     16     20      24      28
 *     | length | prog | vers | proc | type | serial | status | payload …
 */

/** Length word plus header: the smallest legal frame, in bytes. */
export const HEADER_BYTES = 28
/** Largest value of the length word (`VIR_NET_MESSAGE_MAX` plus the word itself), in bytes. */
export const MAX_FRAME_BYTES = 33_554_436
/** Descriptors that one frame may announce (`VIR_NET_MESSAGE_NUM_FDS_MAX`). */
export const MAX_FRAME_FDS = 32

export const PROGRAM = {
  remote: 0x20008086,
  qemu: 0x20008087,
  lxc: 0x00068000,
  keepalive: 0x6b656570,
  admin: 0x06900690
} as const

/** Every program has known one version only. */
export const PROGRAM_VERSION = 1

export const MESSAGE = {
  call: 0,
  reply: 1,
  event: 2,
  stream: 3,
  callWithFds: 4,
  replyWithFds: 5,
  streamHole: 6
} as const

export const STATUS = { ok: 0, error: 1, continue: 2 } as const

const PROG = 4
const VERS = 8
const PROC = 12
const TYPE = 16
const SERIAL = 20
const STATUS_AT = 24

/** Reads an unsigned big-endian word without the bounds checks of Buffer's methods: the caller has the 28 bytes. */
function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

// Each accessor takes the buffer and the offset at which the frame starts.
export const frameLength = (bytes: Uint8Array, at: number): number => word(bytes, at)
export const frameProgram = (bytes: Uint8Array, at: number): number => word(bytes, at + PROG)
export const frameVersion = (bytes: Uint8Array, at: number): number => word(bytes, at + VERS)
/** Signed, as in the protocol: a negative procedure is an unknown one. */
export const frameProcedure = (bytes: Uint8Array, at: number): number => word(bytes, at + PROC) | 0
export const frameType = (bytes: Uint8Array, at: number): number => word(bytes, at + TYPE)
export const frameSerial = (bytes: Uint8Array, at: number): number => word(bytes, at + SERIAL)
export const frameStatus = (bytes: Uint8Array, at: number): number => word(bytes, at + STATUS_AT)

export const putFrameType = (bytes: Uint8Array, at: number, type: number): void => putWord(bytes, at + TYPE, type)
export const putFrameSerial = (bytes: Uint8Array, at: number, serial: number): void => putWord(bytes, at + SERIAL, serial)
export const putFrameLength = (bytes: Uint8Array, at: number, length: number): void => putWord(bytes, at, length)

export function legalFrameLength(length: number): boolean {
  return length >= HEADER_BYTES && length <= MAX_FRAME_BYTES
}

/** A header as an object: for frames that the broker itself answers or sends, never on the relay path. */
export interface Header {
  prog: number
  vers: number
  proc: number
  type: number
  serial: number
  status: number
}

export function readHeader(bytes: Uint8Array, at = 0): Header {
  return {
    prog: frameProgram(bytes, at),
    vers: frameVersion(bytes, at),
    proc: frameProcedure(bytes, at),
    type: frameType(bytes, at),
    serial: frameSerial(bytes, at),
    status: frameStatus(bytes, at)
  }
}

export function writeHeader(bytes: Uint8Array, at: number, length: number, header: Header): void {
  putWord(bytes, at, length)
  putWord(bytes, at + PROG, header.prog)
  putWord(bytes, at + VERS, header.vers)
  putWord(bytes, at + PROC, header.proc)
  putWord(bytes, at + TYPE, header.type)
  putWord(bytes, at + SERIAL, header.serial)
  putWord(bytes, at + STATUS_AT, header.status)
}

/** One whole frame. Throws RangeError when the payload is larger than a frame may be. */
export function encodeFrame(header: Header, payload?: Uint8Array): Buffer {
  const length = HEADER_BYTES + (payload?.length ?? 0)
  if (!legalFrameLength(length)) throw new RangeError(`frame of ${length} bytes is larger than ${MAX_FRAME_BYTES}`)
  const frame = Buffer.allocUnsafe(length)
  writeHeader(frame, 0, length, header)
  if (payload) frame.set(payload, HEADER_BYTES)
  return frame
}
