import { decodeError, rpcError, type RemoteError } from '../../protocol/errors.js'
import { frameSerial, frameStatus, HEADER_BYTES, STATUS } from '../../protocol/header.js'
import { callFrame } from '../../protocol/messages/frames.js'
import type { FrameWriter } from '../framing/frame-writer.js'
import { driverClosed } from '../../protocol/broker-errors.js'

interface OwnCall {
  proc: number
  resolve: (frame: Buffer) => void
  reject: (error: RemoteError) => void
}

/** Serials of the broker's own calls: far from where clients begin to count. */
const FIRST_SERIAL = 0xf0000000

const EMPTY = Buffer.alloc(0)

/** The broker's own calls to a driver daemon. */
export class OwnCalls {
  /** By serial; undefined while there are none, which is nearly always. */
  #calls: Map<number, OwnCall> | undefined
  #nextSerial = FIRST_SERIAL

  constructor(readonly writer: FrameWriter) {}

  /** Resolves with the arguments of the reply. Rejects with the daemon's error, or with that of `abandon`. */
  call(proc: number, args: Buffer | undefined, prog: number): Promise<Buffer> {
    const serial = this.#nextSerial++
    return new Promise<Buffer>((resolve, reject) => {
      this.#calls ??= new Map()
      this.#calls.set(serial, { proc, resolve, reject })
      this.writer.write(callFrame(proc, serial, args, prog))
    })
  }

  has(serial: number, proc: number): boolean {
    return this.#calls?.get(serial)?.proc === proc
  }

  /** The reply to one of them has come. */
  answered(bytes: Buffer, from: number, to: number): void {
    const serial = frameSerial(bytes, from)
    const call = this.#calls!.get(serial)!
    this.#calls!.delete(serial)
    if (this.#calls!.size === 0) this.#calls = undefined
    const body = from + HEADER_BYTES
    if (frameStatus(bytes, from) !== STATUS.ok) call.reject(readError(bytes, body, to))
    else call.resolve(body === to ? EMPTY : Buffer.from(bytes.subarray(body, to)))
  }

  /** No more replies will come. */
  abandon(error?: RemoteError): void {
    const abandoned = this.#calls
    this.#calls = undefined
    for (const call of abandoned?.values() ?? []) call.reject(error ?? driverClosed())
  }
}

function readError(bytes: Buffer, from: number, to: number): RemoteError {
  try {
    return decodeError(bytes, from, to)
  } catch {
    return rpcError('driver daemon sent an error that cannot be decoded')
  }
}
