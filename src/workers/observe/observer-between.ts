import type { RemoteError } from '../../protocol/errors.js'
import type { ServedRecord } from '../thread/client-record.js'
import type { SessionObserver, TimedCall } from '../thread/session-observer.js'

/** Stands in the place of a client's observer, which is told all the same. */
export abstract class ObserverBetween implements SessionObserver {
  readonly timing = true
  readonly #next: SessionObserver | undefined

  constructor(next: SessionObserver | undefined) {
    this.#next = next
  }

  get slowUs(): number {
    return this.#next?.slowUs ?? Infinity
  }

  get starts(): boolean {
    return this.#next?.starts === true
  }

  begun(client: ServedRecord, prog: number, proc: number, serial: number): void {
    this.#next?.begun(client, prog, proc, serial)
  }

  changed(client: ServedRecord): void {
    this.#next?.changed(client)
  }

  slow(client: ServedRecord, call: TimedCall): void {
    this.#next?.slow(client, call)
  }

  answered(
    client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number, serial: number
  ): void {
    this.#next?.answered(client, prog, proc, code, queued, atDriver, serial)
  }

  refused(client: ServedRecord, prog: number, proc: number, why: RemoteError, serial: number): void {
    this.#next?.refused(client, prog, proc, why, serial)
  }
}
