import { BUCKETS, WORDS, type Family } from './metric-families.js'

/** Above it stands the sum. */
const LAST_BUCKET = BUCKETS.length

/**
 * What one thread counts (`metric-families.ts`), in memory that its supervisor can read while the thread hangs, and that
 * the thread which replaces it goes on with. Only one thread at a time writes there. The numbers are doubles: integers of
 * 32 bits would run over within a day, and longer ones be allocated.
 */
export class Counters {
  readonly words: Float64Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(WORDS * Float64Array.BYTES_PER_ELEMENT)) {
    this.words = new Float64Array(shared)
  }

  /** `first`, `second`: indexes of the values of the family's labels. */
  add(family: Family, count: number, first = 0, second = 0): void {
    this.words[family.at + family.row * first + family.step * second]! += count
  }

  /** A gauge, or a counter that stands elsewhere. */
  set(family: Family, value: number, first = 0, second = 0): void {
    this.words[family.at + family.row * first + family.step * second] = value
  }

  get(family: Family, first = 0, second = 0): number {
    return this.words[family.at + family.row * first + family.step * second]!
  }

  /** A number of microseconds, in a histogram. */
  observe(family: Family, micros: number, first = 0, second = 0): void {
    observeAt(this.words, family.at + family.row * first + family.step * second, micros)
  }
}

/** In the histogram whose first word is at that index. */
export function observeAt(words: Float64Array, at: number, micros: number): void {
  let bucket = 0
  while (bucket < LAST_BUCKET && micros > BUCKETS[bucket]!) bucket++
  words[at + bucket]!++
  words[at + LAST_BUCKET + 1]! += micros
}

/**
 * Of the histogram whose first word is at that index: microseconds below which such a share of all is, as near as the buckets
 * tell; within one, all are taken to be evenly spread. Undefined if there is nothing in it.
 */
export function quantileAt(words: ArrayLike<number>, at: number, share: number): number | undefined {
  let count = 0
  for (let bucket = 0; bucket <= LAST_BUCKET; bucket++) count += words[at + bucket]!
  if (count === 0) return undefined
  const rank = share * count
  let below = 0
  for (const [bucket, bound] of BUCKETS.entries()) {
    const here = words[at + bucket]!
    if (below + here >= rank) {
      const from = BUCKETS[bucket - 1] ?? 0
      return Math.round(from + ((bound - from) * (rank - below)) / Math.max(1, here))
    }
    below += here
  }
  return BUCKETS.at(-1)!
}
