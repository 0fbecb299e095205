import type { Counters } from '../../workers/thread/counters.js'
import { BUCKETS, HISTOGRAM_WORDS, OUTCOMES } from '../../workers/thread/metric-families.js'
import { histogramSamples } from './families.js'
import type { Sample, Source } from './metric.js'
import { ProcedureSums } from './procedure-figures.js'

/** Calls by their procedure. */
export function procedureSource(counters: readonly Counters[]): Source {
  const sums = new ProcedureSums()
  return () => {
    const figures = sums.sum(counters.map(({ words }) => words))
    const calls: Sample[] = figures.flatMap(({ program, procedure, driver, outcomes }) =>
      outcomes.map((value, outcome) => ({ labels: { program, procedure, driver, outcome: OUTCOMES[outcome]! }, value }))
    )
    const answered = figures.filter(({ durations }) => durations.slice(0, BUCKETS.length + 1).some(count => count > 0))
    const durations = answered.flatMap(({ procedure, driver, durations }) =>
      histogramSamples({ procedure, driver }, durations.slice(0, HISTOGRAM_WORDS))
    )
    const slow = figures.map(({ procedure, driver, slow }) => ({ labels: { procedure, driver }, value: slow }))
    return [
      { name: 'slow_calls_total', help: 'Calls that took as long as slow_call_ms says, or longer.', type: 'counter', samples: slow },
      { name: 'calls_total', help: 'Calls that have ended, by how they ended.', type: 'counter', samples: calls },
      {
        name: 'call_duration_seconds',
        help: 'Time of calls that a driver daemon has answered, from their arrival until the reply goes on to the client.',
        type: 'histogram',
        samples: durations
      }
    ]
  }
}
