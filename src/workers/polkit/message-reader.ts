import { announced, decodeMessage, FIXED_BYTES, TYPE, type Incoming } from './dbus-message.js'

/** Answers to our calls are a few hundred bytes. */
const MAX_REPLY_BYTES = 64 * 1024

/**
 * Takes replies out of what a bus sends, in whatever pieces it comes. Everybody on a bus can send us signals and calls, as
 * long and as many as the bus allows: those are passed over as they stream, and nothing of them is kept.
 */
export class MessageReader {
  readonly #head = Buffer.alloc(FIXED_BYTES)
  #reply: Buffer | undefined
  /** Bytes that are there of the reply, or else of a head. */
  #have = 0
  /** Bytes still to come of a message that is passed over. */
  #over = 0

  constructor(readonly replied: (reply: Incoming) => void) {}

  /** The bytes are the caller's again afterwards. Throws DbusError for what can be no messages. */
  push(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#over > 0) {
        const passed = Math.min(this.#over, bytes.length - at)
        this.#over -= passed
        at += passed
        continue
      }
      const into = this.#reply ?? this.#head
      const copied = bytes.copy(into, this.#have, at)
      this.#have += copied
      at += copied
      if (this.#have < into.length) return
      if (this.#reply === undefined) this.#begin()
      else this.#end(this.#reply)
    }
  }

  #begin(): void {
    const { type, length } = announced(this.#head)
    this.#have = 0
    // Without a field it would not say what it answers.
    const answers = (type === TYPE.methodReturn || type === TYPE.error) && length > FIXED_BYTES
    if (!answers || length > MAX_REPLY_BYTES) {
      this.#over = length - FIXED_BYTES
      return
    }
    this.#reply = Buffer.alloc(length)
    this.#have = this.#head.copy(this.#reply)
  }

  #end(reply: Buffer): void {
    this.#reply = undefined
    this.#have = 0
    this.replied(decodeMessage(reply))
  }
}
