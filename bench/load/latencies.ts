import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'

/** Ticks of 0.1 µs: finer than what is measured, and an hour of them still fits 35 bits. */
const TICKS_PER_MS = 10_000
const LONGEST_MS = 200_000

/**
 * A distribution of latencies with three significant digits. Distributions are merged, percentiles never averaged.
 */
export class Latencies {
  readonly #histogram: Histogram

  constructor(encoded?: string) {
    this.#histogram =
      encoded === undefined
        ? build({ lowestDiscernibleValue: 1, highestTrackableValue: LONGEST_MS * TICKS_PER_MS })
        : decodeFromCompressedBase64(encoded)
  }

  record(ms: number): void {
    this.#histogram.recordValue(Math.min(Math.max(1, Math.round(ms * TICKS_PER_MS)), LONGEST_MS * TICKS_PER_MS))
  }

  add(other: Latencies): void {
    this.#histogram.add(other.#histogram)
  }

  get count(): number {
    return this.#histogram.totalCount
  }

  /** In microseconds. */
  percentile(percent: number): number {
    return this.#histogram.getValueAtPercentile(percent) / (TICKS_PER_MS / 1000)
  }

  get maximum(): number {
    return this.percentile(100)
  }

  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram)
  }
}
