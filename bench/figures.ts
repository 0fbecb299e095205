// What `npm run figures` runs: draws the plots that the README shows, docs/crowds.svg and docs/figures.svg, from the .json beside
// each. With the directory of a run of the bench (`-- build/bench-results`) figures are taken from there first, of those of both
// that it has measured.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { crowdFigures, crowdPlot, type CrowdFigures } from './report/crowd-plot.js'
import { headlinePlot, headlines, type Headlines } from './report/headline.js'
import type { Summary } from './results/samples.js'
import type { Machine } from './system/machine.js'

const docs = new URL('../../docs/', import.meta.url).pathname
const put = (name: string, content: Headlines | CrowdFigures): void =>
  writeFileSync(path.join(docs, name), `${JSON.stringify(content, null, 2)}\n`)
const kept = <Content>(name: string): Content => JSON.parse(readFileSync(path.join(docs, name), 'utf8')) as Content

const run = process.argv[2]
if (run !== undefined) {
  const lines = readFileSync(path.join(run, 'results.ndjson'), 'utf8').trim().split('\n').map(line => JSON.parse(line) as { kind: string })
  const { when, revision } = lines.find(({ kind }) => kind === 'machine') as unknown as Machine
  const summaries = lines.filter(({ kind }) => kind === 'summary') as unknown as Summary[]
  const of = { when: when.slice(0, 10), revision }
  const crowds = crowdFigures(summaries)
  if (crowds.length > 0) put('crowds.json', { ...of, figures: crowds })
  if (summaries.some(({ entry }) => entry !== 'crowd')) put('figures.json', { ...of, figures: headlines(summaries) })
}
writeFileSync(path.join(docs, 'crowds.svg'), await crowdPlot(kept<CrowdFigures>('crowds.json').figures))
writeFileSync(path.join(docs, 'figures.svg'), await headlinePlot(kept<Headlines>('figures.json').figures))
