import type { Counters } from '../../workers/thread/counters.js'
import { BUCKETS, DRIVERS, FAMILIES, type Family } from '../../workers/thread/metric-families.js'
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

/** All families. `threads`: in the order of their places; `own`: the supervisor's. */
export const familySource = (threads: readonly Counters[], own: Counters): Source => () => {
  const memories = [...threads, own].map(({ words }) => words)
  const seen = DRIVERS.filter((_, driver) => BY_DRIVER.some(({ at, row }) => hasAny(memories, at + row * driver, row)))
  return Object.values(FAMILIES).map((family: Family) => metricOf(family, memories, seen))
}

/** Of a driver that nobody has wanted nothing is told. */
const BY_DRIVER = Object.values(FAMILIES).filter(({ labels }) => Object.values(labels)[0] === DRIVERS)

const hasAny = (memories: readonly Float64Array[], at: number, count: number): boolean =>
  memories.some(words => words.subarray(at, at + count).some(word => word !== 0))

function metricOf(family: Family, memories: readonly Float64Array[], drivers: readonly string[]): Metric {
  const { name, help, type, at, step, row, across, unit } = family
  const [[first, firsts] = ['', ['']], [second, seconds] = ['', ['']]] = Object.entries(family.labels)
  const samples: Sample[] = []
  for (const [i, one] of firsts.entries()) {
    for (const [j, other] of seconds.entries()) {
      const from = at + row * i + step * j
      const labels = { ...(first !== '' && { [first]: one }), ...(second !== '' && { [second]: other }) }
      if (firsts === DRIVERS && !drivers.includes(one)) continue
      if (across === 'each' || across === 'loops') {
        const told = across === 'each' ? memories.slice(0, -1) : memories
        samples.push(...told.map((memory, place) => (
          { labels: { thread: threadAt(place, memories), ...labels }, value: memory[from]! * unit }
        )))
        continue
      }
      const words = Array.from({ length: step }, (_, word) => together(memories.map(memory => memory[from + word]!), across))
      if (seconds.length > MANY && words.every(word => word === 0)) continue
      if (type === 'histogram') samples.push(...histogramSamples(labels, words))
      else samples.push({ labels, value: words[0]! * unit })
    }
  }
  return { name, help, type, samples }
}

/** What has never happened is told too, so that rates begin with the first, but not of labels with more values than this. */
const MANY = 16

const threadAt = (place: number, memories: readonly unknown[]): string =>
  (place === memories.length - 1 ? 'supervisor' : String(place + 1))

const together = (values: readonly number[], across: Family['across']): number =>
  across === 'max' ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0)
