import type { Pulse } from '../../workers/thread/pulse.js'

export interface Watched {
  readonly pulse: Pick<Pulse, 'thread' | 'beats'>
}

interface Seen {
  beats: number
  /** Looks since its loop was last seen to turn. */
  silent: number
}

/** Looks, one a second, after which a thread is taken to hang, and after which it was ended in vain. */
const HANGS = 10
const CANNOT_BE_ENDED = 20
/** A thread that has not begun yet has nothing that could be ended in safety. */
const DOES_NOT_BEGIN = 60
/** Others are given the clients meanwhile. */
const STUCK = 2

/**
 * Finds threads whose loop has stopped turning. Looks are counted, and not time: when the whole process has been stopped
 * for a while, no thread of it is to blame.
 */
export class HangWatch<T extends Watched> {
  readonly #seen = new Map<T, Seen>()

  /** Once a second, with all threads that there are. Returns those that are to be ended now. */
  look(threads: readonly T[]): T[] {
    for (const thread of this.#seen.keys()) if (!threads.includes(thread)) this.#seen.delete(thread)
    return threads.filter(thread => {
      const { thread: id, beats } = thread.pulse
      const seen = this.#seen.get(thread)
      if (seen?.beats !== beats) this.#seen.set(thread, { beats, silent: 0 })
      else seen.silent++
      return id !== 0 && seen?.beats === beats && seen.silent === HANGS
    })
  }

  isStuck(thread: T): boolean {
    return (this.#seen.get(thread)?.silent ?? 0) >= STUCK
  }

  /** One hangs where it cannot be ended from outside: only the end of the process helps. */
  get helpless(): boolean {
    return [...this.#seen].some(([{ pulse }, { silent }]) => silent >= (pulse.thread === 0 ? DOES_NOT_BEGIN : CANNOT_BE_ENDED))
  }
}
