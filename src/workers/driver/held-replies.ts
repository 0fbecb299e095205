import type { Closable } from '../base/clock.js'

/** Bytes of replies that a thread keeps for guests that do not read them, all together. */
const MOST_BYTES = 64 * 1024 * 1024

export interface Reader {
  readonly user: { readonly session: Closable }
}

/**
 * Replies that came by shared connections for clients that do not take them. Such a connection is read all the same, so
 * there must be an end to what is kept: then the client with most of it is cut off. Replies that several get count as well.
 */
export class HeldReplies {
  readonly #held = new Map<Reader, number>()
  #bytes = 0

  constructor(readonly most = MOST_BYTES) {}

  /** So many bytes more are kept for it. */
  note(reader: Reader, bytes: number): void {
    this.#held.set(reader, (this.#held.get(reader) ?? 0) + bytes)
    this.#bytes += bytes
    if (this.#bytes > this.most) this.#cutOff()
  }

  /** It has taken all, or is gone. */
  forget(reader: Reader): void {
    const bytes = this.#held.get(reader)
    if (bytes === undefined) return
    this.#held.delete(reader)
    this.#bytes -= bytes
  }

  /** Whether one that several are to get may be copied: never so many that somebody would be cut off for it. */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.most / 2
  }

  /** Of a reply that several are to get so many bytes are kept until `dropped`. */
  kept(bytes: number): void {
    this.#bytes += bytes
  }

  dropped(bytes: number): void {
    this.#bytes -= bytes
  }

  #cutOff(): void {
    let [most, bytes]: [Reader | undefined, number] = [undefined, 0]
    for (const [reader, held] of this.#held) if (held > bytes) [most, bytes] = [reader, held]
    if (most === undefined) return
    this.forget(most)
    most.user.session.close('does not read the replies to its calls', 'client-stalled')
  }
}
