import type { Counters } from '../../workers/thread/counters.js'
import type { WatchedCalls } from '../admin/broker-program.js'
import { ProcedureSums } from '../metrics/procedure-figures.js'
import { procedureReport } from '../metrics/procedure-report.js'
import type { LastSlowCalls } from '../threads/last-slow-calls.js'
import type { LiveSettings } from './admin-control.js'

/** What operators are told of calls. `counted`: whether threads count them. */
export function watchedCalls(
  slow: LastSlowCalls, { counters }: { readonly counters: readonly Counters[] }, live: LiveSettings, counted: boolean
): WatchedCalls {
  const sums = new ProcedureSums()
  return {
    get slowCalls() { return slow.all },
    get slowCallMs() { return live.settings.actor.slowCallMs },
    procedures: () => (counted ? procedureReport(sums.sum(counters.map(({ words }) => words))) : undefined)
  }
}
