/**
 * What has happened between answers of the broker, which counts from its start.
 * @typedef {import('../../src/main/page/live-state.js').LiveState} LiveState
 */

/** How long what is called "now" is, in milliseconds. */
const WINDOW_MS = 10_000

/**
 * A second, more or less.
 * @typedef {object} Step
 * @property {number} at when it ended, in milliseconds since the epoch
 * @property {number} seconds
 * @property {number} calls a second
 * @property {number} notOk calls a second that were not ok
 * @property {number} refused connections, logins and calls
 * @property {readonly number[]} durations of calls that were answered, in the buckets of the state
 */

/** @param {readonly number[]} values */
export const sum = values => values.reduce((total, value) => total + value, 0)

/** @param {LiveState['calls']} calls */
const allCalls = calls => sum(Object.values(calls ?? {}))

/**
 * @param {readonly (readonly number[])[]} histograms
 * @returns {number[]}
 */
export const together = histograms =>
  histograms.reduce((/** @type {number[]} */ sums, one) => one.map((value, i) => value + (sums[i] ?? 0)), [])

/**
 * @param {readonly number[]} now
 * @param {readonly number[] | undefined} then
 */
export const since = (now, then) => now.map((value, i) => value - (then?.[i] ?? 0))

/**
 * Below which such a share of all is, as near as the buckets tell; undefined if there are none.
 * @param {readonly number[]} durations
 * @param {readonly number[]} bounds
 * @param {number} share
 */
export function quantile(durations, bounds, share) {
  const rank = sum(durations) * share
  if (rank === 0) return undefined
  let below = 0
  for (const [bucket, bound] of bounds.entries()) {
    const here = durations[bucket] ?? 0
    if (here > 0 && below + here >= rank) {
      const from = bounds[bucket - 1] ?? 0
      return from + ((bound - from) * (rank - below)) / here
    }
    below += here
  }
  return bounds.at(-1)
}

/** @param {LiveState} state */
const durationsOf = state => together(state.drivers.map(({ durations }) => durations))

/** The last answers, and what has happened meanwhile. */
export class History {
  /** @type {LiveState[]} */
  #states = []
  /** @type {Step[]} */
  steps = []
  #most

  /** @param {number} most steps that are kept */
  constructor(most) {
    this.#most = most
  }

  /** @param {LiveState} state */
  add(state) {
    const before = this.#states.at(-1)
    // Another process counts from its own start.
    if (before !== undefined && before.broker.pid === state.broker.pid && before.broker.since === state.broker.since) {
      this.steps.push(stepBetween(before, state))
      if (this.steps.length > this.#most) this.steps.shift()
    } else {
      this.#states = []
      this.steps = []
    }
    this.#states.push(state)
    while (this.#states.length > 2 && state.clock - (this.#states[1]?.clock ?? 0) >= WINDOW_MS) this.#states.shift()
  }

  /** The answer of ten seconds ago, or the first; undefined if there is but one. */
  get before() {
    return this.#states.length > 1 ? this.#states[0] : undefined
  }

  /** The last seconds, together; undefined if nothing is known yet. */
  get now() {
    const [first, last] = [this.before, this.#states.at(-1)]
    return first === undefined || last === undefined ? undefined : stepBetween(first, last)
  }
}

/**
 * @param {LiveState} first
 * @param {LiveState} last
 * @returns {Step}
 */
function stepBetween(first, last) {
  const seconds = Math.max(0.001, (last.clock - first.clock) / 1000)
  const calls = allCalls(last.calls) - allCalls(first.calls)
  return {
    at: last.now,
    seconds,
    calls: calls / seconds,
    notOk: (calls - ((last.calls?.ok ?? 0) - (first.calls?.ok ?? 0))) / seconds,
    refused: sum(Object.values(last.refusals)) - sum(Object.values(first.refusals)),
    durations: since(durationsOf(last), durationsOf(first))
  }
}
