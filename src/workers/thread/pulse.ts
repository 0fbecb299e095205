import { Timer, type Clock, type Timed } from '../base/clock.js'

const THREAD = 0
const BEATS = 1
const BEAT_MS = 1000

/** Shows whether a thread's loop turns, in memory that it shares with its supervisor: who hangs answers no message. */
export class Pulse {
  readonly #words: Int32Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.#words = new Int32Array(shared)
  }

  /** What Node calls the thread; 0 until it runs. */
  get thread(): number {
    return this.#words[THREAD]!
  }

  /** Changes once a second. */
  get beats(): number {
    return this.#words[BEATS]!
  }

  begin(thread: number): void {
    this.#words[THREAD] = thread
  }

  beat(): void {
    this.#words[BEATS]!++
  }
}

/** Keeps a pulse beating for as long as this thread's loop turns. */
export class Heart implements Timed {
  readonly #timer = new Timer(this)

  constructor(
    readonly clock: Clock,
    readonly pulse: Pulse
  ) {
    this.timeUp()
  }

  timeUp(): void {
    this.pulse.beat()
    this.clock.set(this.#timer, BEAT_MS)
  }
}
