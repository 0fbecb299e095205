import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Bench } from '../bench.js'
import type { Latencies } from '../load/latencies.js'
import type { PeerName } from '../peers/peers.js'
import { summarize, type Summary } from '../results/samples.js'
import { PEER_ORDER } from '../results/table.js'
import { COLOURS } from './colours.js'

export interface Plot {
  /** Also the file's name. */
  name: string
  entry: string
  title: string
  svg: string
}

/** The plots for which there are figures. */
export async function plots(bench: Bench): Promise<Plot[]> {
  const summaries = summarize(bench.samples)
  const wanted = [
    costAgainstClients(summaries),
    ...latencyDistributions(bench),
    memoryAgainstClients(summaries),
    throughputAgainstPayload(summaries)
  ]
  const made: Plot[] = []
  for (const { values, name, entry, title, spec } of wanted) {
    if (values.length > 0) made.push({ name, entry, title, svg: await draw(values, spec) })
  }
  return made
}

interface Drawing {
  name: string
  entry: string
  title: string
  values: object[]
  spec: Pick<Extract<TopLevelSpec, { mark: unknown }>, 'mark' | 'encoding'>
}

/** Linear or logarithmic axes with titles; a line with points for each peer. */
type Axis = { field: string; title: string; log?: boolean; nice?: boolean; values?: number[]; labels?: string }

function lines(x: Axis, y: Axis, points = true): Drawing['spec'] {
  const axis = ({ field, title, log = false, nice = true, values, labels }: Axis) => ({
    field,
    type: 'quantitative' as const,
    scale: log ? { type: 'log' as const, nice } : { zero: true },
    axis: { title, ...(values && { values }), ...(labels !== undefined && { labelExpr: labels }) }
  })
  const peers = PEER_ORDER.map(String)
  const color = {
    field: 'peer',
    type: 'nominal' as const,
    scale: { domain: peers, range: PEER_ORDER.map(peer => COLOURS[peer]) },
    legend: { title: null, orient: 'top' as const }
  }
  return { mark: { type: 'line', point: points }, encoding: { x: axis(x), y: axis(y), color } }
}

async function draw(values: readonly object[], spec: Drawing['spec']): Promise<string> {
  const present = new Set(values.map(value => (value as { peer: PeerName }).peer))
  const color = (spec.encoding as { color: { scale: { domain: string[]; range: string[] } } }).color
  color.scale.domain = PEER_ORDER.filter(peer => present.has(peer))
  color.scale.range = PEER_ORDER.filter(peer => present.has(peer)).map(peer => COLOURS[peer])
  const whole: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 620,
    height: 300,
    background: 'white',
    data: { values: [...values] },
    ...spec
  }
  const view = new View(parse(compile(whole).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

const of = (summaries: readonly Summary[], entry: string, figure: string): Summary[] =>
  summaries.filter(summary => summary.entry === entry && summary.figure === figure)

function costAgainstClients(summaries: readonly Summary[]): Drawing {
  return {
    name: 'cost-against-clients',
    entry: 'small-calls',
    title: 'CPU time of the proxy for one small call',
    values: of(summaries, 'small-calls', 'CPU of the proxy').map(({ peer, point, median }) => ({
      peer,
      clients: point['clients'],
      microseconds: median
    })),
    spec: lines(
      { field: 'clients', title: 'clients', log: true, nice: false, values: [1, 2, 4, 8, 16, 32, 64, 128] },
      { field: 'microseconds', title: 'µs a call' }
    )
  }
}

const PERCENTILES = [0, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99]

/** With a scale that gives each further nine the same room. */
const distributionLines = (): Drawing['spec'] => lines(
  {
    field: 'rarity',
    title: 'percentile',
    log: true,
    values: [1, 2, 10, 100, 1000, 10_000],
    labels: "datum.value == 1 ? 'least' : format(100 - 100 / datum.value, '.4~f') + ' %'"
  },
  { field: 'microseconds', title: 'µs', log: true },
  false
)

const distribution = (peer: PeerName, latencies: Latencies): object[] =>
  PERCENTILES.filter(percent => latencies.count * (1 - percent / 100) >= 1).map(percent => ({
    peer,
    rarity: 1 / (1 - percent / 100),
    microseconds: latencies.percentile(percent)
  }))

/** One distribution alone. */
export async function latencyPlot(title: string, latencies: Latencies): Promise<Pick<Plot, 'title' | 'svg'>> {
  const spec = distributionLines()
  Object.assign((spec.encoding as { color: object }).color, { legend: null })
  return { title, svg: await draw(distribution('virtbroker', latencies), spec) }
}

function latencyDistributions(bench: Bench): Drawing[] {
  return ['small-calls', 'fixed-rate'].map(entry => {
    const own = [...bench.distributions.values()].filter(distribution => distribution.entry === entry)
    const point = own[0]?.point
    const values = own
      .filter(distribution => JSON.stringify(distribution.point) === JSON.stringify(point))
      .flatMap(({ peer, latencies }) =>
        distribution(peer, latencies)
      )
    return {
      name: `latency-${entry}`,
      entry,
      title: entry === 'small-calls' ? 'Latency of small calls of one client' : 'Latency at a fixed rate of calls',
      values,
      spec: distributionLines()
    }
  })
}

function memoryAgainstClients(summaries: readonly Summary[]): Drawing {
  return {
    name: 'memory-against-clients',
    entry: 'idle-memory',
    title: 'Resident memory with idle clients',
    values: of(summaries, 'idle-memory', 'resident memory').map(({ peer, point, median }) => ({
      peer,
      clients: point['clients'],
      megabytes: median
    })),
    spec: lines({ field: 'clients', title: 'idle clients' }, { field: 'megabytes', title: 'MB' })
  }
}

function throughputAgainstPayload(summaries: readonly Summary[]): Drawing {
  return {
    name: 'throughput-against-payload',
    entry: 'payloads',
    title: 'Throughput of replies of different sizes',
    values: of(summaries, 'payloads', 'rate').map(({ peer, point, median }) => ({
      peer,
      bytes: point['bytes a reply'],
      rate: median
    })),
    spec: lines(
      { field: 'bytes', title: 'bytes a reply', log: true, nice: false },
      { field: 'rate', title: 'MiB/s', log: true }
    )
  }
}
