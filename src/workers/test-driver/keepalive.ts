import { PING_FRAME, PONG_FRAME } from '../../protocol/messages/keepalive.js'
import { KEEPALIVE } from '../../protocol/procedures.js'
import type { Link } from './link.js'

/** libvirtd's defaults: seconds of silence before a ping, and pings without an answer before the end. */
const INTERVAL_MS = 5000
const MOST_UNANSWERED = 5

/** Answers pings at once; pings by itself only when the client has said that it answers (feature 10). */
export class Keepalive {
  #last = 0
  #unanswered = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    readonly link: Link,
    readonly now: () => number
  ) {}

  /** Any byte of the client counts as a sign of life. */
  heard(): void {
    this.#last = this.now()
    this.#unanswered = 0
  }

  received(proc: number): void {
    if (proc === KEEPALIVE.ping) this.link.send(PONG_FRAME)
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), INTERVAL_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    if (this.now() - this.#last < INTERVAL_MS) return
    if (this.#unanswered >= MOST_UNANSWERED) return this.link.close()
    this.#unanswered++
    this.link.send(PING_FRAME)
  }
}
