import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { PeerName } from '../peers/peers.js'
import type { Summary } from '../results/samples.js'
import { COLOURS } from './colours.js'

/** What calls of 16 clients cost beside idle ones, in one run, as docs/crowds.json keeps it. */
export interface CrowdFigures {
  /** The day of the run, and the revision that was measured. */
  when: string
  revision: string
  figures: CrowdFigure[]
}

export interface CrowdFigure {
  idle: number
  /** Microseconds of CPU that proxy and daemon take for a call; of a peer that was not tried with so many there is none. */
  peers: Partial<Record<PeerName, number>>
}

/** What a line is called. */
const SHOWN: readonly (readonly [PeerName, string])[] = [
  ['virtbroker', 'virtbroker'], ['haproxy', 'HAProxy'], ['direct', 'no proxy'], ['libvirtd', 'libvirtd as proxy']
]
const TITLE = 'Calls for each second of CPU of proxy and daemon, beside clients that are merely connected'

const PARTS = ['CPU of the proxy', 'CPU of the driver']

/** What a run says of it; nothing where it did not measure crowds. */
export function crowdFigures(summaries: readonly Summary[]): CrowdFigure[] {
  const costs = summaries.filter(({ entry, figure }) => entry === 'crowd' && PARTS.includes(figure))
  const sizes = [...new Set(costs.map(({ point }) => Number(point['idle clients'])))]
  return sizes.map(idle => {
    const peers: CrowdFigure['peers'] = {}
    for (const { peer, point, median } of costs) {
      if (point['idle clients'] === idle) peers[peer] = Number(((peers[peer] ?? 0) + median).toPrecision(6))
    }
    return { idle, peers }
  })
}

/** A line for each peer, on white: that can be read on a dark page as well. */
export async function crowdPlot(figures: readonly CrowdFigure[]): Promise<string> {
  const values = SHOWN.flatMap(([peer, name]) =>
    figures.filter(({ peers }) => peers[peer] !== undefined).map(({ idle, peers }) => ({ name, idle, calls: 1e6 / peers[peer]! })))
  const names = SHOWN.map(([, name]) => name)
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    width: 560,
    height: 240,
    config: { view: { stroke: null }, font: 'sans-serif' },
    title: { text: TITLE, anchor: 'start', fontSize: 13, fontWeight: 600 },
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'idle', type: 'quantitative',
        axis: { title: 'idle clients', grid: false, values: figures.map(({ idle }) => idle), format: ',d' }
      },
      y: { field: 'calls', type: 'quantitative', axis: { title: 'calls a second of CPU', format: ',d' }, scale: { zero: true } },
      color: {
        field: 'name', type: 'nominal', legend: { title: null, orient: 'right', labelFontSize: 12, labelLimit: 0 },
        scale: { domain: names, range: SHOWN.map(([peer]) => COLOURS[peer]) }
      }
    }
  }
  const view = new View(parse(compile(spec as unknown as TopLevelSpec).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return `${svg}\n`
}
