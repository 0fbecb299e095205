import { readFileSync } from 'node:fs'
import { expect } from 'chai'

/** The bench is built beside the tests. */
const bench = (module: string): string => new URL(`../../bench/${module}`, import.meta.url).href
interface Headline { entry: string; figure: string; unit: string; point: Record<string, number>; peers: Record<string, number> }
const { figures } = JSON.parse(readFileSync('docs/figures.json', 'utf8')) as { figures: Headline[] }
interface CrowdFigure { idle: number; peers: Record<string, number> }
const crowds = (JSON.parse(readFileSync('docs/crowds.json', 'utf8')) as { figures: CrowdFigure[] }).figures

describe('the figures on the front page', () => {
  it('are drawn from docs/figures.json and docs/crowds.json (npm run figures)', async () => {
    const { headlinePlot } = (await import(bench('report/headline.js'))) as { headlinePlot: (figures: Headline[]) => Promise<string> }
    expect(await headlinePlot(figures)).to.equal(readFileSync('docs/figures.svg', 'utf8'))
    const { crowdPlot } = (await import(bench('report/crowd-plot.js'))) as { crowdPlot: (figures: CrowdFigure[]) => Promise<string> }
    expect(await crowdPlot(crowds)).to.equal(readFileSync('docs/crowds.svg', 'utf8'))
  })

  it('are those of docs/performance.md', async () => {
    const { describePoint } = (await import(bench('results/samples.js'))) as { describePoint: (point: Headline['point']) => string }
    const { short } = (await import(bench('results/table.js'))) as { short: (value: number) => string }
    const sections = readFileSync('docs/performance.md', 'utf8').split(/^### /m)
    const besideIdle = crowds.map(({ idle, peers }): Headline =>
      ({ entry: 'crowd', figure: 'rate', unit: '1/s', point: { callers: 16, 'idle clients': idle }, peers }))
    for (const { entry, figure, unit, point, peers } of [...figures, ...besideIdle]) {
      const section = sections.find(text => text.startsWith(`${entry}\n`))!
      const rows = section.split('\n').map(line => line.split('|').map(cell => cell.trim()))
      const titles = rows.find(([, first]) => first === 'figure')!
      const row = rows.find(cells => cells[1] === `${figure}, ${unit}` && cells[2] === describePoint(point))!
      for (const [peer, value] of Object.entries(peers)) expect(row[titles.indexOf(peer)], `${entry}: ${peer}`).to.equal(short(value))
    }
  })
})
