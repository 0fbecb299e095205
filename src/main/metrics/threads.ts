import { gauge, only, type Source } from './metric.js'

export interface MeasuredThreads {
  /** How many there are. */
  readonly serving: number
  /** Those whose loops have not turned for two seconds. */
  readonly stuck: readonly number[]
}

export const threadSource = (threads: MeasuredThreads): Source => () => [
  gauge('actor_threads', 'Threads that serve clients.', only(threads.serving)),
  gauge('actor_threads_stuck', 'Threads whose event loops have not turned for two seconds.', only(threads.stuck.length))
]
