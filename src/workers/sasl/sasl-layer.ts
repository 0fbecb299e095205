import { legalFrameLength } from '../../protocol/header.js'
import type { SaslCodec } from './codec.js'
import type { LossReason, Transport, TransportHandler } from '../transport/transport.js'

/** Bytes that are unwrapped at once, the library's limit. */
const MAX_DECODE_BYTES = 65_536
const LENGTH_BYTES = 4

/**
 * A connection on which SASL's encryption may begin. Until then it passes bytes through, to the handler frame by frame:
 * what comes after the frame that completes the login is wrapped, and may be there already while the login is
 * still being judged. `hold` keeps it back, `release` and `secure` let it go on.
 */
export class SaslLayer implements Transport, TransportHandler {
  readonly sender = undefined
  readonly #inner: Transport
  #codec: SaslCodec | undefined
  #held = false
  #paused = false
  /** What came behind the frame at which the connection was held. */
  #rest: Buffer | undefined
  /** Of the current frame: bytes still to come, once its length is known; the length so far, before. */
  #missing = 0
  #lengthFill = 0
  #length = 0
  #failure: string | undefined

  /** `failed`: an exception of the handler outside of a call by the inner transport. */
  constructor(
    inner: (handler: TransportHandler) => Transport,
    public handler: TransportHandler,
    readonly failed: (error: unknown) => void
  ) {
    this.#inner = inner(this)
  }

  get session(): TransportHandler['session'] {
    return this.handler.session
  }

  // Switching it on

  /** Keeps back everything behind the frame that the handler is being given. */
  hold(): void {
    this.#held = true
    this.#inner.pause()
  }

  /** Goes on in the clear. */
  release(): void {
    if (!this.#held) return
    this.#held = false
    const rest = this.#rest
    this.#rest = undefined
    try {
      if (rest !== undefined) this.received(rest, 0, rest.length)
    } catch (error) {
      return this.failed(error)
    }
    if (!this.#held && !this.#paused && !this.closed) this.#inner.resume()
  }

  /** Everything from here on is wrapped, both ways. What was sent before goes out as it is. */
  secure(codec: SaslCodec): void {
    this.#codec = codec
    this.release()
  }

  // Transport

  get pending(): number {
    return this.#inner.pending
  }

  get closed(): boolean {
    return this.#inner.closed
  }

  get bytesIn(): number {
    return this.#inner.bytesIn
  }

  get bytesOut(): number {
    return this.#inner.bytesOut
  }

  get hasUnread(): boolean {
    return this.#rest !== undefined || this.#inner.hasUnread
  }

  send(bytes: Buffer, from: number, to: number): boolean {
    const codec = this.#codec
    if (codec === undefined) return this.#inner.send(bytes, from, to)
    if (this.#failure !== undefined || this.closed) return true
    let taken = true
    for (let at = from; at < to; at += codec.maxInput) {
      let wrapped: Buffer
      try {
        wrapped = codec.encode(bytes, at, Math.min(to, at + codec.maxInput))
      } catch (error) {
        // A transport that cannot send is found out by its owner later, not within `send`.
        this.#failure = (error as Error).message
        setImmediate(() => this.session.close(this.#failure!, 'internal-failure'))
        return true
      }
      taken = this.#inner.send(wrapped, 0, wrapped.length)
    }
    return taken
  }

  sendDescriptors(): boolean {
    throw new Error('descriptors cannot be sent through a SASL layer')
  }

  readAtMost(bytes: number): void {
    this.#inner.readAtMost(bytes)
  }

  pause(): void {
    this.#paused = true
    this.#inner.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#held) this.#inner.resume()
  }

  end(): void {
    this.#inner.end()
  }

  destroy(): void {
    this.#rest = undefined
    this.#inner.destroy()
  }

  // The inner transport

  received(bytes: Buffer, from: number, to: number): void {
    let at = from
    while (at < to && this.#codec === undefined) {
      if (this.closed) return
      if (this.#held) {
        this.#rest = Buffer.from(bytes.subarray(at, to))
        return
      }
      const end = this.#frameEnd(bytes, at, to)
      this.handler.received(bytes, at, end)
      at = end
    }
    if (at < to) this.#unwrap(bytes, at, to)
  }

  receivedDescriptors(descriptors: number[]): void {
    this.handler.receivedDescriptors(descriptors)
  }

  drained(): void {
    this.handler.drained()
  }

  ended(): void {
    this.handler.ended()
  }

  lost(reason: LossReason): void {
    this.handler.lost(reason)
  }

  /** Where the current frame ends, or `to` if it goes on. */
  #frameEnd(bytes: Buffer, from: number, to: number): number {
    let at = from
    while (this.#missing === 0 && at < to) {
      this.#length = this.#length * 256 + bytes[at++]!
      if (++this.#lengthFill < LENGTH_BYTES) continue
      // With an illegal length the connection ends anyway, at the hands of the handler.
      this.#missing = legalFrameLength(this.#length) ? this.#length - LENGTH_BYTES : Infinity
      this.#length = 0
      this.#lengthFill = 0
    }
    const count = Math.min(this.#missing, to - at)
    this.#missing -= count
    return at + count
  }

  #unwrap(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to && !this.closed; at += MAX_DECODE_BYTES) {
      let clear: Buffer
      try {
        clear = this.#codec!.decode(bytes, at, Math.min(to, at + MAX_DECODE_BYTES))
      } catch (error) {
        return this.session.close((error as Error).message, 'sasl-layer-broken')
      }
      if (clear.length > 0) this.handler.received(clear, 0, clear.length)
    }
  }
}
