import type { LogKind } from '../../workers/base/log-kinds.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import { Counters } from '../../workers/thread/counters.js'
import { ACCESS, ENDS, FAMILIES, LOG_SUPPRESSED, REFUSALS, TRANSPORTS, type Refusal } from '../../workers/thread/metric-families.js'
import { endOf } from './disconnects.js'

const THREAD = ENDS.indexOf('thread')

/** What the supervisor counts itself, where metrics are served or not: it is little. */
export class BrokerCounters {
  readonly counters = new Counters()

  connected({ transport, readonly }: ListenerKind): void {
    this.counters.add(FAMILIES.connections, 1, TRANSPORTS.indexOf(transport), ACCESS.indexOf(readonly ? 'ro' : 'rw'))
  }

  /** A client has gone. `of`: the kind of what the log says of it. */
  gone(kind: ListenerKind | undefined, of: LogKind, why: string): void {
    if (kind !== undefined) this.#gone(kind, endOf(of, why))
    if (of === 'client-memory') this.refused('memory')
  }

  /** A thread has died, and clients of these listeners with it. */
  threadDied(kinds: readonly ListenerKind[]): void {
    this.counters.add(FAMILIES.threadDeaths, 1)
    for (const kind of kinds) this.#gone(kind, THREAD)
  }

  refused(reason: Refusal): void {
    this.counters.add(FAMILIES.refusals, 1, REFUSALS.indexOf(reason))
  }

  /** A line of the log was not written. */
  suppressed(why: (typeof LOG_SUPPRESSED)[number]): void {
    this.counters.add(FAMILIES.logSuppressed, 1, LOG_SUPPRESSED.indexOf(why))
  }

  #gone({ transport }: ListenerKind, end: number): void {
    this.counters.add(FAMILIES.disconnects, 1, TRANSPORTS.indexOf(transport), end)
  }
}
