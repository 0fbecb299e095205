import { MESSAGE, STATUS } from '#protocol/header.js'
import { decodeCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import type { Frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { RawClient } from '../support/raw-client.js'

/** How long a call may stay unanswered while its connection lives, and how long who listens may hear nothing. */
export const PATIENCE_MS = 15_000

/** A connection that ended under a client, as it may when a thread is killed. */
export class Gone extends Error {}

/** A client that knows for which events it has registered. */
export class SoakClient extends RawClient {
  readonly #ids = new Set<number>()
  #heardAt = 0

  async answer(match: Parameters<RawClient['next']>[0]): Promise<Frame> {
    try {
      return await this.next(match, PATIENCE_MS)
    } catch (error) {
      if (this.closed) throw new Gone()
      throw error
    }
  }

  reply(serial: number): Promise<Frame> {
    return this.answer({ type: MESSAGE.reply, serial })
  }

  answered(proc: number, payload?: Uint8Array): Promise<Frame> {
    return this.reply(this.post(proc, payload))
  }

  /** Of all domains. */
  async register(event: number): Promise<void> {
    const args = new XdrWriter(8).i32(event).bool(false).finish()
    const { status, payload } = await this.answered(REMOTE.connectDomainEventCallbackRegisterAny, args)
    if (status !== STATUS.ok) return
    this.#ids.add(decodeCallbackId(payload))
    this.#heardAt = performance.now()
  }

  /** Returns how many have come. They are those that the daemon emits, under an id that the client was told. */
  checkEvents(): number {
    let count = 0
    for (let event = this.take({ type: MESSAGE.event }); event !== undefined; event = this.take({ type: MESSAGE.event })) {
      const { payload } = event
      if (!this.#ids.has(decodeCallbackId(payload)) || !payload.subarray(4).equals(pattern(24, payload[4]))) {
        throw new Error(`an event came that nobody emitted, ${payload.toString('hex')} for ${[...this.#ids].join(' ')}`)
      }
      this.#heardAt = performance.now()
      count++
    }
    return count
  }

  /** Throws if it has registered and heard of nothing for long. */
  expectEvents(): void {
    const silence = performance.now() - this.#heardAt
    if (this.#ids.size > 0 && silence > PATIENCE_MS) throw new Error(`no event for ${(silence / 1000).toFixed(0)} s`)
  }
}
