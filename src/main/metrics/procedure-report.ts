import type { BrokerProcedure } from '../../protocol/messages/broker-admin.js'
import { BUCKETS, OUTCOME } from '../../workers/thread/metric-families.js'
import type { ProcedureFigures } from './procedure-figures.js'

const SUM = BUCKETS.length + 1

/** As `virtbrokerctl procedures` has them: those that took most time first. */
export const procedureReport = (figures: readonly ProcedureFigures[]): BrokerProcedure[] =>
  figures.map(reported).sort((one, other) => other.totalUs - one.totalUs || other.calls - one.calls)

function reported({ program, procedure, driver, outcomes, slow, durations }: ProcedureFigures): BrokerProcedure {
  const timed = durations.slice(0, SUM).reduce((sum, count) => sum + count, 0)
  const known = timed === 0 ? {} : { p50Us: quantile(durations, timed * 0.5), p99Us: quantile(durations, timed * 0.99) }
  return {
    program, procedure, driver, slow, timed,
    calls: outcomes.reduce((sum, count) => sum + count, 0),
    errors: outcomes[OUTCOME.error]!,
    refused: outcomes[OUTCOME.refused]!,
    lost: outcomes[OUTCOME.lost]!,
    totalUs: durations[SUM]!,
    ...known
  }
}

/** Below which so many are, as near as the buckets tell: within one, all are taken to be evenly spread. */
function quantile(durations: readonly number[], rank: number): number {
  let below = 0
  for (const [bucket, bound] of BUCKETS.entries()) {
    const count = durations[bucket]!
    if (below + count >= rank) {
      const from = BUCKETS[bucket - 1] ?? 0
      return Math.round(from + ((bound - from) * (rank - below)) / Math.max(1, count))
    }
    below += count
  }
  return BUCKETS.at(-1)!
}
