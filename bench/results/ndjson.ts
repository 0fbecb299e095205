import type { Bench } from '../bench.js'
import type { Entry } from '../entries/entry.js'
import type { Machine } from '../system/machine.js'
import { ratios, summarize } from './samples.js'
import { verdicts } from './verdicts.js'

/**
 * One JSON object a line, told apart by `kind`: `machine`, then every `sample`, `summary`, `ratio`, `verdict` and
 * `latencies` (percentiles in microseconds, of all rounds together), and every `warning`.
 */
export function ndjson(bench: Bench, entries: readonly Entry[], machine: Machine): string {
  const { samples } = bench
  const lines: object[] = [{ kind: 'machine', ...machine }]
  for (const sample of samples) lines.push({ kind: 'sample', ...sample })
  for (const summary of summarize(samples)) lines.push({ kind: 'summary', ...summary })
  for (const against of ['base', 'haproxy', 'libvirtd', 'direct'] as const) {
    for (const ratio of ratios(samples, 'virtbroker', against)) lines.push({ kind: 'ratio', ...ratio })
  }
  for (const verdict of verdicts(entries, samples, bench.scale)) lines.push({ kind: 'verdict', ...verdict })
  for (const { entry, peer, point, latencies } of bench.distributions.values()) {
    const percentiles = Object.fromEntries(
      [50, 75, 90, 95, 99, 99.9, 99.99, 100].map(percent => [percent, latencies.percentile(percent)])
    )
    lines.push({ kind: 'latencies', entry, peer, point, count: latencies.count, percentiles })
  }
  for (const warning of bench.warnings) lines.push({ kind: 'warning', ...warning })
  return lines.map(line => `${JSON.stringify(line)}\n`).join('')
}
