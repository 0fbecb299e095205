import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeFrame, HEADER_BYTES, MESSAGE, PROGRAM, PROGRAM_VERSION, readHeader, STATUS, type Header } from '#protocol/header.js'
import { bytesOnTheWay } from './kernel-queues.js'
import { waitFor } from './waiting.js'

/** A frame that came in: its header's fields, its payload, and all its bytes. */
export interface Frame extends Header {
  payload: Buffer
  bytes: Buffer
}

/** What a frame must look like: the fields named are equal. */
export type Match = Partial<Header>

const PATIENCE_MS = 15_000
const STUCK_MS = 300
const WITH_FDS: readonly number[] = [MESSAGE.callWithFds, MESSAGE.replyWithFds]

/** A frame with the usual values in the fields not named: a call of the remote program. */
export function frame(header: Partial<Header>, payload?: Uint8Array): Buffer {
  const usual = { prog: PROGRAM.remote, vers: PROGRAM_VERSION, proc: 0, type: MESSAGE.call, serial: 0, status: STATUS.ok }
  return encodeFrame({ ...usual, ...header }, payload)
}

export const ping = (): Buffer => frame({ prog: PROGRAM.keepalive, proc: 1, type: MESSAGE.event })
export const pong = (): Buffer => frame({ prog: PROGRAM.keepalive, proc: 2, type: MESSAGE.event })

/** One end of a connection that carries frames. What comes in waits in `inbox` until a test asks for it. */
export class FrameSocket {
  readonly inbox: Frame[] = []
  /** Times (`performance.now()`) at which pings came, whether or not they were answered. */
  readonly pings: number[] = []
  /** Answer pings at once, and keep pings and pongs out of the inbox. */
  answerPings = true
  /** Bytes that came in since the beginning. */
  received = 0
  closed = false
  /** Is told of all bytes that the kernel has taken, in their order. */
  onSent: ((bytes: Buffer) => void) | undefined
  #rest: Buffer[] = []
  #restBytes = 0
  /** Bytes to come that carry descriptors, which Node does not take, and are no frame. */
  #tail = 0
  #arrived: (() => void)[] = []

  constructor(readonly socket: Socket) {
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** Sends bytes as they are. */
  write(...bytes: Uint8Array[]): void {
    const all = Buffer.concat(bytes)
    if (this.onSent === undefined) this.socket.write(all)
    else this.socket.write(all, error => { if (!error) this.onSent?.(all) })
  }

  /** Sends one frame; see `frame` for the fields not named. */
  send(header: Partial<Header>, payload?: Uint8Array): void {
    this.write(frame(header, payload))
  }

  /** Takes the first frame that fits out of the inbox; waits for it if it is not there yet. */
  async next(match: Match = {}, patienceMs = PATIENCE_MS): Promise<Frame> {
    const found = await this.#until(() => this.take(match), patienceMs)
    if (found !== undefined) return found
    throw new Error(
      `no frame like ${JSON.stringify(match)} ${this.closed ? 'before the end' : `in ${patienceMs} ms`}; ` +
        `there are ${this.inbox.length}: ` +
        JSON.stringify(this.inbox.slice(0, 10).map(({ payload: _payload, bytes: _bytes, ...header }) => header))
    )
  }

  /** Takes the first frame that fits, with just these arguments perhaps, if there is one. */
  take(match: Match = {}, payload?: Buffer): Frame | undefined {
    const at = this.inbox.findIndex(candidate =>
      Object.entries(match).every(([field, value]) => candidate[field as keyof Header] === value) &&
      (payload === undefined || candidate.payload.equals(payload))
    )
    return at < 0 ? undefined : this.inbox.splice(at, 1)[0]
  }

  /** Rejects if the peer does not close in time. */
  async end(patienceMs = PATIENCE_MS): Promise<void> {
    if (await this.#until(() => this.closed || undefined, patienceMs)) return
    throw new Error(`not closed within ${patienceMs} ms`)
  }

  /** Bytes of a frame that has not come to its end. */
  get unfinished(): number {
    return this.#restBytes + this.#tail
  }

  /** Resolves when the other process has read all that was sent. */
  async untilRead(): Promise<void> {
    await waitFor('all to be read', () => bytesOnTheWay(this.socket) === 0)
  }

  /** Resolves when the other process has read nothing for a while, of which there is more. */
  async untilStuck(): Promise<void> {
    let left = 0
    let since = 0
    await waitFor('an end to reading', () => {
      const now = bytesOnTheWay(this.socket)
      if (now !== left) since = performance.now()
      left = now
      return left > 0 && performance.now() - since > STUCK_MS
    })
  }

  /** Nothing is read any more, so that the peer's writes pile up. */
  stall(): void {
    this.socket.pause()
  }

  goOn(): void {
    this.socket.resume()
  }

  destroy(): void {
    this.socket.destroy()
  }

  async #until<T>(probe: () => T | undefined, patienceMs: number): Promise<T | undefined> {
    const late = AbortSignal.timeout(patienceMs)
    for (;;) {
      const found = probe()
      if (found !== undefined || this.closed || late.aborted) return found
      const woken = new Promise<void>(resolve => this.#arrived.push(resolve))
      const given = new AbortController()
      const signal = AbortSignal.any([late, given.signal])
      await Promise.race([woken, sleep(patienceMs, undefined, { signal }).catch(() => undefined)])
      given.abort()
    }
  }

  #wake(): void {
    for (const resolve of this.#arrived.splice(0)) resolve()
  }

  #take(chunk: Buffer): void {
    this.received += chunk.length
    this.#rest.push(chunk)
    this.#restBytes += chunk.length
    for (;;) {
      if (this.#tail > 0) this.#skipTail()
      if (this.#restBytes < 4) break
      if (this.#rest[0]!.length < 4) this.#rest = [Buffer.concat(this.#rest)]
      const length = this.#rest[0]!.readUInt32BE(0)
      if (length < HEADER_BYTES) throw new Error(`a frame of ${length} bytes came in`)
      if (this.#restBytes < length) break
      const all = this.#rest.length === 1 ? this.#rest[0]! : Buffer.concat(this.#rest)
      const bytes = all.subarray(0, length)
      this.#rest = length === all.length ? [] : [all.subarray(length)]
      this.#restBytes -= length
      const arrived = { ...readHeader(bytes), payload: bytes.subarray(HEADER_BYTES), bytes }
      if (WITH_FDS.includes(arrived.type)) this.#tail = arrived.payload.readUInt32BE(0)
      this.deliver(arrived)
    }
    this.#wake()
  }

  #skipTail(): void {
    const count = Math.min(this.#tail, this.#restBytes)
    this.#tail -= count
    this.#restBytes -= count
    this.#rest = [Buffer.concat(this.#rest).subarray(count)]
  }

  protected deliver(arrived: Frame): void {
    const keepalive = arrived.prog === PROGRAM.keepalive && arrived.type === MESSAGE.event
    if (keepalive && arrived.proc === 1) {
      this.pings.push(performance.now())
      if (this.answerPings) this.write(pong())
    }
    if (!keepalive || !this.answerPings) this.inbox.push(arrived)
  }
}
