import type { Counters } from '../../workers/thread/counters.js'
import { BUCKETS, FAMILIES, type Family } from '../../workers/thread/metric-families.js'
import type { Metric, Sample, Source } from './metric.js'

const SECONDS = 1e-6

/** Words of a histogram as samples: the buckets are told with all that is in those before them. */
export function histogramSamples(labels: Sample['labels'], words: readonly number[]): Sample[] {
  let count = 0
  const buckets = [...BUCKETS, Infinity].map((bound, bucket) => {
    count += words[bucket]!
    const le = bound === Infinity ? '+Inf' : String(bound * SECONDS)
    return { labels: { ...labels, le }, value: count, suffix: '_bucket' } as const
  })
  const sum = { labels, value: words[BUCKETS.length + 1]! * SECONDS, suffix: '_sum' } as const
  return [...buckets, sum, { labels, value: count, suffix: '_count' }]
}

/** All families: what is counted in several memories is told together. */
export const familySource = (counters: readonly Counters[]): Source => () =>
  Object.values(FAMILIES).map((family: Family) => metricOf(family, counters.map(({ words }) => words)))

function metricOf(family: Family, memories: readonly Float64Array[]): Metric {
  const { name, help, type, at, step, row, across, unit } = family
  const [[first, firsts] = ['', ['']], [second, seconds] = ['', ['']]] = Object.entries(family.labels)
  const samples: Sample[] = []
  for (const [i, one] of firsts.entries()) {
    for (const [j, other] of seconds.entries()) {
      const from = at + row * i + step * j
      const words = Array.from({ length: step }, (_, word) => together(memories.map(memory => memory[from + word]!), across))
      // What has never happened is told where there is nothing else to tell, so that rates begin with the first.
      if (firsts.length * seconds.length > MANY && words.every(word => word === 0)) continue
      const labels = { ...(first !== '' && { [first]: one }), ...(second !== '' && { [second]: other }) }
      if (type === 'histogram') samples.push(...histogramSamples(labels, words))
      else samples.push({ labels, value: words[0]! * unit })
    }
  }
  return { name, help, type, samples }
}

/** Of a family with more combinations of labels than this only those are told that there are. */
const MANY = 16

const together = (values: readonly number[], across: Family['across']): number =>
  across === 'max' ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0)
