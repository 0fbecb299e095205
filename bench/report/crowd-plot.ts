import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { PeerName } from '../peers/peers.js'
import type { Summary } from '../results/samples.js'
import { COLOURS } from './colours.js'

/** How many calls of 16 clients there are beside idle ones, in one run, as docs/crowds.json keeps it. */
export interface CrowdFigures {
  /** The day of the run, and the revision that was measured. */
  when: string
  revision: string
  figures: CrowdFigure[]
}

export interface CrowdFigure {
  idle: number
  /** Calls a second; of a peer that was not tried with so many there are none. */
  peers: Partial<Record<PeerName, number>>
}

/** What a line is called. */
const SHOWN: readonly (readonly [PeerName, string])[] = [
  ['virtbroker', 'virtbroker'], ['haproxy', 'HAProxy'], ['direct', 'no proxy'], ['libvirtd', 'libvirtd as proxy']
]
const TITLE = 'Calls a second of 16 clients, beside clients that are merely connected'

/** What a run says of it; nothing where it did not measure crowds. */
export function crowdFigures(summaries: readonly Summary[]): CrowdFigure[] {
  const rates = summaries.filter(({ entry, figure }) => entry === 'crowd' && figure === 'rate')
  const sizes = [...new Set(rates.map(({ point }) => Number(point['idle clients'])))].sort((one, other) => one - other)
  return sizes.map(idle => {
    const there = rates.filter(({ point }) => point['idle clients'] === idle)
    return { idle, peers: Object.fromEntries(there.map(({ peer, median }) => [peer, Number(median.toPrecision(8))])) }
  })
}

/** A line for each peer, on white: that can be read on a dark page as well. */
export async function crowdPlot(figures: readonly CrowdFigure[]): Promise<string> {
  const values = SHOWN.flatMap(([peer, name]) =>
    figures.filter(({ peers }) => peers[peer] !== undefined).map(({ idle, peers }) => ({ name, idle, calls: peers[peer]! })))
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
      y: { field: 'calls', type: 'quantitative', axis: { title: 'calls a second', format: ',d' }, scale: { zero: true } },
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
