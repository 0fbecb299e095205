import type { BrokerProcedure } from '../../protocol/messages/broker-admin.js'
import { quantileAt } from '../../workers/thread/counters.js'
import { BUCKETS, OUTCOME } from '../../workers/thread/metric-families.js'
import type { ProcedureFigures } from './procedure-figures.js'

const SUM = BUCKETS.length + 1

/** As `virtbrokerctl procedures` has them: those that took most time first. */
export const procedureReport = (figures: readonly ProcedureFigures[]): BrokerProcedure[] =>
  figures.map(reported).sort((one, other) => other.totalUs - one.totalUs || other.calls - one.calls)

function reported({ program, procedure, driver, outcomes, slow, durations }: ProcedureFigures): BrokerProcedure {
  const timed = durations.slice(0, SUM).reduce((sum, count) => sum + count, 0)
  const known = timed === 0 ? {} : { p50Us: quantileAt(durations, 0, 0.5)!, p99Us: quantileAt(durations, 0, 0.99)! }
  return {
    program, procedure, driver, slow, timed,
    calls: outcomes.reduce((sum, count) => sum + count, 0),
    errors: outcomes[OUTCOME.error]!,
    refused: outcomes[OUTCOME.refused]!,
    lost: outcomes[OUTCOME.lost]!,
    timeouts: outcomes[OUTCOME.timeout]!,
    totalUs: durations[SUM]!,
    ...known
  }
}
