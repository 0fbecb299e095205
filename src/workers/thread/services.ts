import type { Clock } from '../base/clock.js'
import type { Log, LogLevel } from '../base/log.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { ThreadAudit } from './audit.js'
import type { Counters } from './counters.js'
import type { SessionObserver } from './session-observer.js'
import type { ActorSettings } from './settings.js'
import type { Turns } from './turns.js'
import type { UnopenedMemory } from './unopened-memory.js'

/** What a session has of its thread. */
export interface ThreadServices {
  readonly clock: Clock
  readonly io: ThreadIo
  readonly log: ThreadLog
  readonly turns: Turns
  readonly unopened: UnopenedMemory
  /** Undefined where nobody wants to be told. */
  readonly observer: SessionObserver | undefined
  readonly counters: Counters
  /** Undefined where there are no records of calls. */
  readonly audit: ThreadAudit | undefined
  /** Replaced as a whole: nobody keeps a field of it. */
  readonly settings: ActorSettings
}

export interface ThreadLog {
  readonly write: Log
  /** For lines about peers that have not logged in, and for what peers can cause again and again. */
  readonly strangers: Log
  /** Whether lines of this level go anywhere: others need not be put together. */
  hears(level: LogLevel): boolean
}
