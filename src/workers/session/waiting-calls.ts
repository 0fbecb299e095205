import type { CallKind } from '../../protocol/call-kinds.js'
import { MESSAGE, PROGRAM_VERSION, STATUS, type Header } from '../../protocol/header.js'
import { hasPriority } from '../../protocol/procedures.js'
import { SMALL_BYTES, takeSmall } from '../../protocol/spare-buffers.js'

/** Calls, bytes and descriptors beyond which the client is not read any more. The call in hand still finds room. */
const MAX_CALLS = 256
const MAX_BYTES = 256 * 1024
const MAX_DESCRIPTORS = 64
/** Memory that a call takes beside its own bytes, about. */
const BYTES_A_CALL = 256

const NO_DESCRIPTORS: readonly number[] = []
const EMPTY = Buffer.alloc(0)

interface Waiting {
  prog: number
  proc: number
  serial: number
  kind: CallKind
  length: number
  /** The first `length - missing` bytes are what has come of the frame. It grows with that, not with `length`. */
  bytes: Buffer
  /** Bytes of the frame that the client has not sent yet. */
  missing: number
  /** They go with the frame. */
  descriptors: readonly number[]
  /** When it came, in milliseconds; 0 where nobody wants to know. */
  came: number
}

/**
 * Calls that the driver daemon is not given yet, because it has as many as it takes at once: past its own
 * `max_client_requests` a daemon stops reading, keepalive included.
 */
export class WaitingCalls {
  readonly #calls: Waiting[] = []
  /** Memory that they take. */
  #size = 0
  #descriptors = 0
  /** How many of them wait for no hypervisor. */
  #urgent = 0

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
    kind: CallKind,
    length: number,
    descriptors: readonly number[] = NO_DESCRIPTORS,
    came = 0
  ): void {
    this.#calls.push({ prog, proc, serial, kind, length, bytes: EMPTY, missing: length, descriptors, came })
    this.#size += BYTES_A_CALL
    this.#descriptors += descriptors.length
    if (hasPriority(prog, proc)) this.#urgent++
  }

  /** More bytes of the calls added, in their order; copied. */
  append(bytes: Buffer, from: number, to: number): void {
    for (let at = this.#firstIncomplete(); from < to && at < this.#calls.length; at++) {
      const call = this.#calls[at]!
      const count = Math.min(call.missing, to - from)
      this.#fill(call, bytes, from, from + count)
      from += count
    }
  }

  #fill(call: Waiting, bytes: Buffer, from: number, to: number): void {
    const filled = call.length - call.missing
    const need = filled + to - from
    if (call.bytes.length < need) {
      // What came in one piece takes no more than that; what is dripped is not copied for each drop.
      const room = Math.min(call.length, Math.max(need, 2 * call.bytes.length))
      const larger = call.length <= SMALL_BYTES ? takeSmall() : Buffer.allocUnsafeSlow(room)
      call.bytes.copy(larger, 0, 0, filled)
      this.#size += larger.length - call.bytes.length
      call.bytes = larger
    }
    bytes.copy(call.bytes, filled, from, to)
    call.missing -= to - from
  }

  #firstIncomplete(): number {
    let at = this.#calls.length
    while (at > 0 && this.#calls[at - 1]!.missing > 0) at--
    return at
  }

  /** The oldest call. What has come of its bytes stands in one piece, and may be changed. */
  get first(): Readonly<Waiting> | undefined {
    return this.#calls[0]
  }

  /** The oldest call that waits for no hypervisor and has come whole. */
  get urgent(): Readonly<Waiting> | undefined {
    if (this.#urgent === 0) return undefined
    return this.#calls.find(({ prog, proc, missing }) => missing === 0 && hasPriority(prog, proc))
  }

  /**
   * Takes a call out. The caller sees to the rest if `missing` is not 0, and gives the bytes back when they have gone on
   * (`giveBackSmall`).
   */
  take(call: Readonly<Waiting>): void {
    const at = this.#calls.indexOf(call)
    if (at < 0) return
    if (at === 0) this.#calls.shift()
    else this.#calls.splice(at, 1)
    this.#descriptors -= call.descriptors.length
    this.#size -= BYTES_A_CALL + call.bytes.length
    if (hasPriority(call.prog, call.proc)) this.#urgent--
  }

  /** Empties the queue; returns the headers of the calls, for their error replies. */
  takeAll(closeDescriptor: (descriptor: number) => void): Header[] {
    for (const { descriptors } of this.#calls) descriptors.forEach(closeDescriptor)
    this.#size = 0
    this.#descriptors = 0
    this.#urgent = 0
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
