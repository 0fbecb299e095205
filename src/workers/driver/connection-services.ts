import type { Clock } from '../base/clock.js'
import type { Counters } from '../thread/counters.js'
import type { ActorSettings } from '../thread/settings.js'
import type { Turns } from '../thread/turns.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { Transport } from '../transport/transport.js'
import type { DriverLinks } from './driver-links.js'
import type { Leaving } from './leaving.js'

/** What a connection to a driver daemon needs of its thread. */
export interface ConnectionServices {
  readonly clock: Clock
  readonly io: Pick<ThreadIo, 'closer'>
  readonly turns: Turns
  readonly settings: Pick<ActorSettings, 'keepalive' | 'driverMaxRequests'>
  readonly leaving: Leaving
  readonly counters: Counters
  readonly links: DriverLinks
}

/** How a driver daemon is reached. */
export interface DriverTransport extends Transport {
  /** The peer is asked to hang up, and nothing that it still sends matters then. */
  expectEnd(): void
}
