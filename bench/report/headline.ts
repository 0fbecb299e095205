import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { PeerName } from '../peers/peers.js'
import { describePoint, type Point, type Summary } from '../results/samples.js'
import { short } from '../results/table.js'
import { COLOURS } from './colours.js'

/** Figures of one run, as docs/figures.json keeps them. */
export interface Headlines {
  /** The day of the run, and the revision that was measured. */
  when: string
  revision: string
  figures: Headline[]
}

export interface Headline {
  entry: string
  figure: string
  unit: string
  point: Point
  /** Medians of the rounds. */
  peers: Partial<Record<PeerName, number>>
}

/** What the front page shows, what the broker is worse at included. */
const CHOSEN: readonly { entry: string; figure: string; point: Point; title: string }[] = [
  { entry: 'small-calls', figure: 'CPU of the proxy', point: { clients: 128 }, title: 'CPU for a small call, µs (less is better)' },
  { entry: 'proxy-limit', figure: 'rate', point: { clients: 128 }, title: 'Calls a second, 128 clients (more is better)' },
  { entry: 'connect-cycle', figure: 'rate', point: { 'at a time': 16 }, title: 'Clients that come and go, a second (more)' },
  { entry: 'storm', figure: 'rate', point: { 'clients at once': 4000 }, title: '4,000 clients at once, served a second (more)' },
  { entry: 'streams', figure: 'rate', point: { 'MiB upload': 512 }, title: 'Upload of a volume, MiB/s (more)' },
  { entry: 'idle-memory', figure: 'resident memory', point: { clients: 1000 }, title: 'Memory with 1,000 idle clients, MB (less)' }
]
/** What a bar is called. */
const SHOWN: readonly (readonly [PeerName, string])[] = [
  ['virtbroker', 'virtbroker'], ['haproxy', 'HAProxy'], ['libvirtd', 'libvirtd as proxy']
]

/** The chosen ones among the figures of a run, of which none may be missing. */
export function headlines(summaries: readonly Summary[]): Headline[] {
  return CHOSEN.map(({ entry, figure, point }) => {
    const own = summaries.filter(one => one.entry === entry && one.figure === figure && describePoint(one.point) === describePoint(point))
    const missing = SHOWN.find(([peer]) => !own.some(one => one.peer === peer))
    if (missing !== undefined) throw new Error(`the run has no ${figure} of ${missing[0]} in ${entry} at ${describePoint(point)}`)
    const peers = Object.fromEntries(SHOWN.map(([peer]) => [peer, Number(own.find(one => one.peer === peer)!.median.toPrecision(6))]))
    return { entry, figure, unit: own[0]!.unit, point, peers }
  })
}

/** One small chart for each figure, two in a row, on white: that can be read on a dark page as well. */
export async function headlinePlot(figures: readonly Headline[]): Promise<string> {
  const names = SHOWN.map(([, name]) => name)
  const color = { field: 'name', type: 'nominal', scale: { domain: names, range: SHOWN.map(([peer]) => COLOURS[peer]) }, legend: null }
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    columns: 2,
    spacing: { column: 36, row: 18 },
    config: { view: { stroke: null }, font: 'sans-serif' },
    concat: figures.map(figure => ({
      title: { text: titleOf(figure), anchor: 'start', fontSize: 13, fontWeight: 600 },
      width: 230,
      height: 66,
      data: { values: SHOWN.map(([peer, name]) => ({ name, value: figure.peers[peer], text: short(figure.peers[peer]!) })) },
      encoding: {
        y: { field: 'name', type: 'nominal', sort: names, axis: { title: null, ticks: false, domain: false, labelPadding: 6 } },
        x: { field: 'value', type: 'quantitative', axis: null, scale: { domainMin: 0, padding: 0 } }
      },
      layer: [
        { mark: { type: 'bar', height: 15 }, encoding: { color } },
        { mark: { type: 'text', align: 'left', dx: 4 }, encoding: { text: { field: 'text' } } }
      ]
    }))
  }
  const view = new View(parse(compile(spec as unknown as TopLevelSpec).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return `${svg}\n`
}

function titleOf({ entry, figure, point }: Headline): string {
  const chosen = CHOSEN.find(one => one.entry === entry && one.figure === figure && describePoint(one.point) === describePoint(point))
  if (chosen === undefined) throw new Error(`${entry}, ${figure}, at ${describePoint(point)} is not one of the headlines`)
  return chosen.title
}
