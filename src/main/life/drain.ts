import { setTimeout as sleep } from 'node:timers/promises'

export interface DrainSettings {
  /** Until connections are no longer taken: others see meanwhile that this is to come. */
  readonly delayMs: number
  /** How long clients may take from then on for what they have begun. */
  readonly timeoutMs: number
}

/** What is drained. */
export interface Drainable {
  /** Connections that come wait in the backlog, and are taken by whoever listens there next. */
  takeNoMore(): void
  /** Clients are closed when all that they have asked for is done, or cut off after so many milliseconds. */
  seeOff(ms: number): void
  /** Resolves when there is no client. */
  empty(): Promise<void>
}

/** Who is cut off is told so, and that is written out. A thread that hangs does neither. */
const LAST_WORDS_MS = 500

/** Resolves when all clients are gone, or time is over, or it is given up. Never rejects. */
export async function drain(broker: Drainable, { delayMs, timeoutMs }: DrainSettings, givenUp: AbortSignal): Promise<void> {
  const over = new AbortController()
  const options = { signal: AbortSignal.any([givenUp, over.signal]) }
  try {
    if (delayMs > 0) await sleep(delayMs, undefined, options)
    broker.takeNoMore()
    broker.seeOff(timeoutMs)
    await Promise.race([broker.empty(), sleep(timeoutMs + LAST_WORDS_MS, undefined, options)])
  } catch {
    // Nobody waits for it any more.
  } finally {
    over.abort()
  }
}
