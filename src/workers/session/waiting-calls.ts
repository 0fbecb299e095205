import { MESSAGE, PROGRAM_VERSION, STATUS, type Header } from '../../protocol/header.js'
import type { CallClass } from './call-classes.js'

/** Calls, bytes and descriptors beyond which the client is not read any more. What came in the same chunk still finds room. */
const MAX_CALLS = 256
const MAX_BYTES = 256 * 1024
const MAX_DESCRIPTORS = 64

const NO_DESCRIPTORS: readonly number[] = []

interface Waiting {
  prog: number
  proc: number
  serial: number
  callClass: CallClass
  /** Bytes of the frame that are not in the queue yet, because the client has not sent them. */
  missing: number
  length: number
  /** They go with the frame. */
  descriptors: readonly number[]
}

/**
 * Calls that the driver daemon is not given yet, because it has as many as it takes at once: past its own
 * `max_client_requests` a daemon stops reading, keepalive included.
 */
export class WaitingCalls {
  readonly #calls: Waiting[] = []
  readonly #bytes: Buffer[] = []
  #size = 0
  #descriptors = 0

  get size(): number {
    return this.#calls.length
  }

  get full(): boolean {
    return this.#calls.length >= MAX_CALLS || this.#size >= MAX_BYTES || this.#descriptors >= MAX_DESCRIPTORS
  }

  /** A call of `length` bytes that are about to be given to `append`. */
  add(
    prog: number,
    proc: number,
    serial: number,
    callClass: CallClass,
    length: number,
    descriptors: readonly number[] = NO_DESCRIPTORS
  ): void {
    this.#calls.push({ prog, proc, serial, callClass, length, missing: length, descriptors })
    this.#descriptors += descriptors.length
  }

  /** More bytes of the calls added, in their order; copied. */
  append(bytes: Buffer, from: number, to: number): void {
    this.#bytes.push(Buffer.from(bytes.subarray(from, to)))
    this.#size += to - from
    let count = to - from
    for (let at = this.#firstIncomplete(); count > 0 && at < this.#calls.length; at++) {
      const call = this.#calls[at]!
      const taken = Math.min(call.missing, count)
      call.missing -= taken
      count -= taken
    }
  }

  #firstIncomplete(): number {
    let at = this.#calls.length
    while (at > 0 && this.#calls[at - 1]!.missing > 0) at--
    return at
  }

  /**
   * Takes the oldest call out and gives its bytes, as far as they have come, to `write`: in one piece if they came in
   * one, and free to be changed. The caller sees to the rest if `missing` is not 0.
   */
  release(write: (bytes: Buffer, call: Readonly<Waiting>) => void): Readonly<Waiting> | undefined {
    const call = this.#calls.shift()
    if (call === undefined) return undefined
    this.#descriptors -= call.descriptors.length
    let count = call.length - call.missing
    this.#size -= count
    while (count > 0) {
      const block = this.#bytes[0]!
      if (block.length <= count) {
        this.#bytes.shift()
        count -= block.length
        write(block, call)
      } else {
        this.#bytes[0] = block.subarray(count)
        write(block.subarray(0, count), call)
        count = 0
      }
    }
    return call
  }

  /** Empties the queue; returns the headers of the calls, for their error replies. */
  takeAll(closeDescriptor: (descriptor: number) => void): Header[] {
    for (const { descriptors } of this.#calls) descriptors.forEach(closeDescriptor)
    this.#bytes.length = 0
    this.#size = 0
    this.#descriptors = 0
    return this.#calls.splice(0).map(({ prog, proc, serial }) => ({
      prog,
      vers: PROGRAM_VERSION,
      proc,
      type: MESSAGE.call,
      serial,
      status: STATUS.ok
    }))
  }
}
