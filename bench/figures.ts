// What `npm run figures` runs: draws docs/figures.svg, which the README shows, from docs/figures.json. With the directory of a
// run of the bench (`-- build/bench-results`) the figures are taken from there first.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { headlinePlot, headlines, type Headlines } from './report/headline.js'
import type { Summary } from './results/samples.js'
import type { Machine } from './system/machine.js'

const docs = new URL('../../docs/', import.meta.url).pathname
const kept = path.join(docs, 'figures.json')

const run = process.argv[2]
if (run !== undefined) {
  const lines = readFileSync(path.join(run, 'results.ndjson'), 'utf8').trim().split('\n').map(line => JSON.parse(line) as { kind: string })
  const { when, revision } = lines.find(({ kind }) => kind === 'machine') as unknown as Machine
  const figures = headlines(lines.filter(({ kind }) => kind === 'summary') as unknown as Summary[])
  writeFileSync(kept, `${JSON.stringify({ when: when.slice(0, 10), revision, figures } satisfies Headlines, null, 2)}\n`)
}
const { figures } = JSON.parse(readFileSync(kept, 'utf8')) as Headlines
writeFileSync(path.join(docs, 'figures.svg'), await headlinePlot(figures))
