/** A thread that clients can be given to. */
export interface Place {
  /** How many it has. */
  readonly clients: number
  /** Has little time left for more. */
  readonly busy: boolean
  /** Its event loop has not turned for a while. */
  readonly stuck: boolean
  /** It is to end with its last client. */
  readonly leaving: boolean
  /** It was told to end: whoever it is given now is closed. */
  readonly ending: boolean
}

/**
 * The thread for a new client, or undefined if there are none.
 *
 * Each thread gets `fill` clients before the next one gets its first: what several clients have sent is then read at
 * one wake-up, and a wake-up is what a small call costs most. A busy thread is passed over. When no thread is left that
 * has fewer, clients are spread evenly. A thread that is stuck, or is to leave, gets one only if there is no other, and
 * one that ends gets none.
 */
export function placeFor<T extends Place>(threads: readonly T[], fill: number): T | undefined {
  let least: T | undefined
  for (const thread of threads) {
    if (thread.ending) continue
    if (!thread.busy && !isAvoided(thread) && thread.clients < fill) return thread
    if (least === undefined || isBetter(thread, least)) least = thread
  }
  return least
}

const isBetter = (one: Place, other: Place): boolean =>
  isAvoided(one) === isAvoided(other) ? one.clients < other.clients : isAvoided(other)

const isAvoided = ({ stuck, leaving }: Place): boolean => stuck || leaving
