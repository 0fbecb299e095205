import { readDriverError, type RemoteError } from '../../protocol/errors.js'
import { frameSerial, frameStatus, HEADER_BYTES, STATUS } from '../../protocol/header.js'
import { callFrame } from '../../protocol/messages/frames.js'
import type { FrameWriter } from '../framing/frame-writer.js'

interface OwnCall {
  serial: number
  proc: number
  resolve: (frame: Buffer) => void
  reject: (error: RemoteError) => void
}

/** Serials of the broker's own calls: far from where clients begin to count. */
const FIRST_SERIAL = 0xf0000000

const EMPTY = Buffer.alloc(0)

/** The broker's own calls to a driver daemon, while some are out. */
export class OwnCalls {
  /** Never more than a few. */
  readonly #calls: OwnCall[] = []
  #nextSerial = FIRST_SERIAL

  constructor(readonly writer: FrameWriter) {}

  /** Resolves with the arguments of the reply. Rejects with the daemon's error, or with that of `abandon`. */
  call(proc: number, args: Buffer | undefined, prog: number): Promise<Buffer> {
    const serial = this.#nextSerial++
    return new Promise<Buffer>((resolve, reject) => {
      this.#calls.push({ serial, proc, resolve, reject })
      this.writer.write(callFrame(proc, serial, args, prog))
    })
  }

  get none(): boolean {
    return this.#calls.length === 0
  }

  has(serial: number, proc: number): boolean {
    return this.#calls.some(call => call.serial === serial && call.proc === proc)
  }

  /** The reply to one of them has come. */
  answered(bytes: Buffer, from: number, to: number): void {
    const serial = frameSerial(bytes, from)
    const [call] = this.#calls.splice(this.#calls.findIndex(one => one.serial === serial), 1)
    const body = from + HEADER_BYTES
    if (frameStatus(bytes, from) !== STATUS.ok) call!.reject(readDriverError(bytes, body, to))
    else call!.resolve(body === to ? EMPTY : Buffer.from(bytes.subarray(body, to)))
  }

  /** No more replies will come. */
  abandon(error: RemoteError): void {
    for (const call of this.#calls.splice(0)) call.reject(error)
  }
}
