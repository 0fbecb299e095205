import { Latencies } from '../load/latencies.js'
import type { Outcome } from '../load/orders.js'
import { escaped, figure, page, table } from '../report/page.js'
import type { Plot } from '../report/plots.js'
import { aligned, short } from '../results/table.js'
import type { Plan, Result } from './run.js'

const PERCENTILES = [50, 75, 90, 99, 99.9, 100]
const nameOf = (percent: number): string => (percent === 100 ? 'max' : `p${percent}`)

export interface Figures {
  count: number
  failures: number
  firstFailure: string | undefined
  seconds: number
  /** A second. */
  rate: number
  /** Milliseconds by percentile: `p50`, …, `max`. Empty where nothing was answered. */
  latency: Record<string, number>
}

export function figuresOf({ count, failures, firstFailure, ms, latencies }: Outcome): Figures {
  const distribution = new Latencies(latencies)
  const percentiles = distribution.count === 0 ? [] : PERCENTILES
  return {
    count, failures, firstFailure, seconds: ms / 1000, rate: count / (ms / 1000),
    latency: Object.fromEntries(percentiles.map(percent => [nameOf(percent), distribution.percentile(percent) / 1000]))
  }
}

/** A row of titles, one for the opening of the clients, one for their calls. */
export function rowsOf({ opening, calling }: Result): string[][] {
  const row = (what: string, unit: string, outcome: Outcome): string[] => {
    const { count, failures, seconds, rate, latency } = figuresOf(outcome)
    const times = PERCENTILES.map(percent => short(latency[nameOf(percent)] ?? NaN))
    return [what, unit, short(count), short(failures), short(seconds), short(rate), ...times]
  }
  return [
    ['', '', 'number', 'failures', 's', '1/s', ...PERCENTILES.map(nameOf)],
    row('opening', 'ms', opening),
    ...calling === undefined ? [] : [row('calls', 'ms', calling)]
  ]
}

export function remarksOf({ opening, calling, warnings }: Result): string[] {
  const failed = [opening, calling].flatMap(outcome => outcome?.firstFailure ?? [])
  return [...failed.map(text => `Failures, the first: ${text}.`), ...warnings.map(text => `Mind: ${text}.`)]
}

export function textOf(result: Result): string {
  return [aligned(rowsOf(result)), ...remarksOf(result).map(text => `- ${text}`)].join('\n') + '\n'
}

export function jsonOf(what: string, { clients, rate, seconds }: Plan, { opening, calling, warnings }: Result): string {
  const figures = { opening: figuresOf(opening), calls: calling && figuresOf(calling) }
  return `${JSON.stringify({ what, clients, rate, seconds, ...figures, warnings }, undefined, 2)}\n`
}

export function pageOf(what: string, result: Result, plots: readonly Pick<Plot, 'title' | 'svg'>[]): string {
  const remarks = remarksOf(result).map(text => `<li class="mind">${escaped(text)}</li>`)
  const parts = [`<p>${escaped(what)}</p>`, `<div class="wide">${table(rowsOf(result))}</div>`, `<ul>${remarks.join('')}</ul>`]
  return page('Load', [...parts, ...plots.map(figure)].join('\n'))
}
