/** Frames of a stream. They carry program, procedure and serial of the call that opened it. */

import { encodeFrame, MESSAGE, PROGRAM_VERSION, STATUS, type Header } from '../header.js'
import { XdrReader, XdrWriter } from '../xdr.js'

/** Largest piece of data that libvirt itself puts into one frame, in bytes; receivers take more. */
export const STREAM_CHUNK_BYTES = 262_120

export interface StreamId {
  prog: number
  proc: number
  serial: number
}

/** `bytes` go out as they are, without padding. Empty from a server: end of data. */
export function streamData(stream: StreamId, bytes: Uint8Array): Buffer {
  return encodeFrame(streamHeader(stream, MESSAGE.stream, STATUS.continue), bytes)
}

/** A client's "finished", or a server's confirmation of it or of an abort. A server never sends it unasked. */
export function streamFinish(stream: StreamId): Buffer {
  return encodeFrame(streamHeader(stream, MESSAGE.stream, STATUS.ok))
}

/** A client's abort. A server breaks a stream with `streamError`. */
export function streamAbort(stream: StreamId): Buffer {
  return encodeFrame(streamHeader(stream, MESSAGE.stream, STATUS.error))
}

/** `length` bytes that read as zero; only where the opening call asked for a sparse stream. */
export function streamHole(stream: StreamId, length: bigint): Buffer {
  return encodeFrame(
    streamHeader(stream, MESSAGE.streamHole, STATUS.continue),
    new XdrWriter(12).i64(length).u32(0).finish()
  )
}

/** Length of a hole, in bytes. Throws XdrError. */
export function decodeHole(body: Buffer): bigint {
  const xdr = new XdrReader(body)
  const length = xdr.i64()
  xdr.u32() // flags, always 0
  return length
}

function streamHeader({ prog, proc, serial }: StreamId, type: number, status: number): Header {
  return { prog, vers: PROGRAM_VERSION, proc, type, serial, status }
}
