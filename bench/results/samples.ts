import type { PeerName } from '../peers/peers.js'

/** Where on an entry's axis a figure was taken, e.g. `{ clients: 16 }`. */
export type Point = Readonly<Record<string, number | string>>

export interface Figure {
  /** What is measured, e.g. `CPU per call`. */
  figure: string
  unit: string
  better: 'lower' | 'higher'
  /** Not a result of its own, but needed to judge one: the cost of the load generator, for instance. */
  context?: boolean
}

/** One measured value: one peer, one point, one round. */
export interface Sample extends Figure {
  entry: string
  peer: PeerName
  point: Point
  round: number
  value: number
}

/** All rounds of one figure of one peer. */
export interface Summary extends Figure {
  entry: string
  peer: PeerName
  point: Point
  rounds: number
  median: number
  least: number
  most: number
  /** Half the distance between the quartiles, in parts of the median: the noise. */
  spread: number
}

export const describePoint = (point: Point): string =>
  Object.entries(point)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? value.toLocaleString('en-GB') : value}`)
    .join(', ')

const keyOf = ({ entry, peer, point, figure }: Pick<Sample, 'entry' | 'peer' | 'point' | 'figure'>): string =>
  JSON.stringify([entry, describePoint(point), figure, peer])

export function summarize(samples: readonly Sample[]): Summary[] {
  const groups = groupBy(samples, keyOf)
  return [...groups.values()].map(group => {
    const { entry, peer, point, figure, unit, better, context } = group[0]!
    const same = { entry, peer, point, figure, unit, better, ...(context === undefined ? {} : { context }) }
    const values = group.map(({ value }) => value).sort((a, b) => a - b)
    const middle = quantile(values, 0.5)
    const spread = middle === 0 ? 0 : (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / Math.abs(middle)
    return { ...same, rounds: values.length, median: middle, least: values[0]!, most: values.at(-1)!, spread }
  })
}

/** A figure of one peer divided by the same figure of another. */
export interface Ratio extends Figure {
  entry: string
  point: Point
  subject: PeerName
  against: PeerName | Point
  /** Median of the rounds' ratios: both values of one are from the same minute. */
  ratio: number
  rounds: number
  least: number
  most: number
}

/** `against`: another peer at the same points, or one point of the subject itself. */
export function ratios(samples: readonly Sample[], subject: PeerName, against: PeerName | Point): Ratio[] {
  const isBase = (sample: Sample): boolean =>
    typeof against === 'string'
      ? sample.peer === against
      : sample.peer === subject && describePoint(sample.point) === describePoint(against)
  const partner = ({ entry, point, figure, round }: Sample): string =>
    JSON.stringify([entry, typeof against === 'string' ? describePoint(point) : '', figure, round])
  const others = new Map(samples.filter(isBase).map(sample => [partner(sample), sample.value]))
  const groups = groupBy(samples.filter(sample => sample.peer === subject && !isBase(sample)), keyOf)
  const found: Ratio[] = []
  for (const group of groups.values()) {
    const values = group
      .map(sample => sample.value / (others.get(partner(sample)) ?? Number.NaN))
      .filter(Number.isFinite)
      .sort((a, b) => a - b)
    if (values.length === 0) continue
    const { entry, point, figure, unit, better, context } = group[0]!
    const same = { entry, point, figure, unit, better, ...(context === undefined ? {} : { context }) }
    const range = { rounds: values.length, least: values[0]!, most: values.at(-1)! }
    found.push({ ...same, subject, against, ratio: quantile(values, 0.5), ...range })
  }
  return found
}

/** `sorted` must be, and not empty. */
export function quantile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1)
  const low = sorted[Math.floor(at)]!
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at))
}

/** In the order in which the keys first come. (Map.groupBy needs Node 21.) */
export function groupBy<T>(items: readonly T[], keyOfItem: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOfItem(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}
