import type { ServedRecord } from '../thread/client-record.js'
import type { SessionObserver } from '../thread/session-observer.js'
import type { CallTable } from './call-table.js'

/** Tells an observer of the call at `place`, which has its answer or gets none. `code`: as it is told; `clock`: in milliseconds. */
export function tellAnswered(
  observer: SessionObserver, client: ServedRecord, calls: CallTable, place: number, code: number, clock: { readonly now: number }
): void {
  const prog = calls.programAt(place)
  const proc = calls.procedureAt(place)
  const serial = calls.serialAt(place)
  const given = observer.timing ? calls.givenAt(place) : 0
  if (given === 0) return observer.answered(client, prog, proc, code, 0, 0, serial)
  const queued = Math.round(1000 * (given - calls.cameAt(place)))
  const atDriver = Math.round(1000 * (clock.now - given))
  observer.answered(client, prog, proc, code, queued, atDriver, serial)
  if (queued + atDriver < observer.slowUs || code < 0) return
  observer.slow(client, { prog, proc, code, queued, atDriver, head: calls.headAt(place) })
}
