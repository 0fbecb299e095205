import { tooShort, type Scale } from '../scale.js'
import type { Bench } from '../bench.js'
import type { Entry } from '../entries/entry.js'
import type { PeerName } from '../peers/peers.js'
import type { Machine } from '../system/machine.js'
import { describePoint, groupBy, ratios, summarize } from './samples.js'
import type { Point, Ratio, Sample, Summary } from './samples.js'
import { verdicts } from './verdicts.js'

const NOISY = 0.1
/** Smaller changes are called noise, however calm the rounds were. */
const LEAST_CHANGE = 0.03
/** Five rounds agree by chance once in sixteen times. */
const ENOUGH_ROUNDS = 5
export const PEER_ORDER: readonly PeerName[] = ['virtbroker', 'base', 'haproxy', 'libvirtd', 'direct']

/** Three significant digits, and no more than the figure needs. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-GB')
  return value.toFixed(size >= 10 ? 1 : 2)
}

/** All of it as Markdown: readable as it is, and fit for a page. */
export function resultTable(bench: Bench, entries: readonly Entry[], machine: Machine): string {
  const parts = [machineText(machine)]
  for (const entry of entries) {
    const samples = bench.samples.filter(({ entry: name }) => name === entry.name)
    if (samples.length === 0) continue
    parts.push(`### ${entry.name}`, entry.claim, aligned(resultRows(samples)))
    parts.push(remarks(bench, entry, samples).map(text => `- ${text}`).join('\n'))
  }
  if (bench.options.base !== undefined) parts.push('### Change against base', aligned(changeRows(bench.samples)))
  return parts.filter(part => part !== '').join('\n\n') + '\n'
}

export function machineText(machine: Machine): string {
  const { cpu, cores, memoryGiB, kernel, node, haproxy, libvirtd, revision, when, loadBefore } = machine
  return [
    `${when.slice(0, 16).replace('T', ' ')} UTC, revision ${revision}.`,
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, load before ${loadBefore.toFixed(2)};`,
    `Node ${node}; ${haproxy}; ${libvirtd}.`
  ].join('\n')
}

const TOO_SHORT =
  'goals are not judged: in turns this short Node still compiles the broker, which may look twice as dear as it is'

/** Goals, who used the CPU, and what makes the figures doubtful. */
export function remarks(bench: Bench, entry: Entry, samples: readonly Sample[]): string[] {
  const own = bench.warnings.filter(warning => warning.entry === entry.name)
  const warnings = [...noise(samples), ...own.map(({ text }) => text)]
  if (tooShort(bench.scale)) warnings.push(TOO_SHORT)
  return [...goalLines(entry, samples, bench.scale), ...splitLines(samples), ...warnings.map(text => `Mind: ${text}.`)]
}

/** A row of titles, then one for each figure at each point: the peers' medians, and the broker's ratio to each. */
export function resultRows(samples: readonly Sample[]): string[][] {
  const results = samples.filter(({ context }) => context !== true)
  const peers = PEER_ORDER.filter(name => results.some(({ peer }) => peer === name))
  const others = peers.filter(name => name !== 'virtbroker' && name !== 'direct')
  const ratio = new Map(
    others.flatMap(against =>
      ratios(results, 'virtbroker', against).map(
        found => [`${rowKey(found)} ${against}`, `${found.ratio.toFixed(2)} ×`] as const
      )
    )
  )
  const rows = [...groupBy(summarize(results), rowKey)].map(([key, row]) => [
    `${row[0]!.figure}, ${row[0]!.unit}`,
    describePoint(row[0]!.point),
    ...peers.map(name => cell(row.find(({ peer }) => peer === name))),
    ...others.map(name => ratio.get(`${key} ${name}`) ?? '')
  ])
  return [['figure', 'at', ...peers, ...others.map(name => `broker ÷ ${name}`)], ...rows]
}

const rowKey = ({ figure, point }: Pick<Sample, 'figure' | 'point'>): string => `${figure} ${describePoint(point)}`
const cell = (summary: Summary | undefined): string => (summary === undefined ? '' : short(summary.median))

/** Every figure of the broker now and before, where both were measured. */
export function changeRows(samples: readonly Sample[]): string[][] {
  const results = samples.filter(({ context }) => context !== true)
  const of = groupBy(summarize(results), ({ entry, peer, ...rest }) => `${entry} ${peer} ${rowKey(rest)}`)
  const rows = ratios(results, 'virtbroker', 'base').map(found => {
    const { entry, figure, unit, point, ratio } = found
    const median = (peer: PeerName): string => short(of.get(`${entry} ${peer} ${rowKey(found)}`)![0]!.median)
    const place = placed(`${figure}, ${unit}`, point)
    return [entry, place, median('base'), median('virtbroker'), `${ratio.toFixed(2)} ×`, judgement(found)]
  })
  return [['entry', 'figure', 'base', 'now', 'now ÷ base', 'judgement'], ...rows]
}

const placed = (what: string, point: Point): string => [what, describePoint(point)].filter(Boolean).join(', ')

/** A change is believed when all rounds, and enough of them, say the same. */
function judgement({ rounds, least, most, better }: Ratio): string {
  if (rounds < ENOUGH_ROUNDS) return 'too few rounds'
  if (most > 1 - LEAST_CHANGE && least < 1 + LEAST_CHANGE) return 'not shown'
  return most < 1 === (better === 'lower') ? 'better' : 'WORSE'
}

/** Markdown; the first row has the titles, the first two columns are text. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i < 2 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n')
}

function goalLines(entry: Entry, samples: readonly Sample[], scale: Scale): string[] {
  return verdicts([entry], samples, scale).map(({ figure, point, against, ratio, least, most, limit, better, met }) => {
    const words = `Goal ${met ? 'met' : 'MISSED'}: ${placed(figure, point)}`
    const other = typeof against === 'string' ? against : describePoint(against)
    const limits = `${better === 'lower' ? '≤' : '≥'} ${limit}; rounds ${least.toFixed(2)}–${most.toFixed(2)}`
    return `${words}: ${ratio.toFixed(2)} × ${other} (${limits})`
  })
}

/** Whose CPU it was, for calls through each peer. */
function splitLines(samples: readonly Sample[]): string[] {
  const costs = summarize(samples.filter(({ figure }) => figure.startsWith('CPU of the ')))
  return [...groupBy(costs, ({ peer, point }) => `${describePoint(point)}, ${peer}`)].map(([where, parts]) => {
    const total = parts.reduce((sum, { median }) => sum + median, 0)
    const share = parts.map(({ figure, median, unit }) => {
      const party = figure.replace('CPU of the ', '')
      return `${party} ${Math.round((100 * median) / total)} % (${short(median)} ${unit})`
    })
    return `CPU, ${where}: ${share.join(', ')}`
  })
}

function noise(samples: readonly Sample[]): string[] {
  const noisy = summarize(samples).filter(({ context, spread }) => context !== true && spread > NOISY)
  if (noisy.length === 0) return []
  const worst = noisy.reduce((a, b) => (b.spread > a.spread ? b : a))
  const where = placed(`${worst.figure}, ${worst.peer}`, worst.point)
  const percent = Math.round(100 * worst.spread)
  return [`${noisy.length} figures vary by more than ±10 % between rounds (worst: ${where}: ±${percent} %)`]
}
