import type { Bench } from '../bench.js'
import type { Entry } from '../entries/entry.js'
import { changeRows, machineText, remarks, resultRows } from '../results/table.js'
import type { Machine } from '../system/machine.js'
import type { Plot } from './plots.js'

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 14px; margin: 1rem 0 }
th, td { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left }
figure { margin: 1rem 0 } figcaption { font-weight: 600 } svg { max-width: 100%; height: auto }
.met { color: #1a7f37 } .missed { color: #b42318; font-weight: 600 } .mind { color: #9a6700 }
.wide { overflow-x: auto }
`

/** One file with everything in it: tables, plots, remarks. It needs no network and no script. */
export function reportPage(bench: Bench, entries: readonly Entry[], machine: Machine, plots: readonly Plot[]): string {
  const sections = entries.map(entry => {
    const samples = bench.samples.filter(({ entry: name }) => name === entry.name)
    if (samples.length === 0) return ''
    const figures = plots.filter(plot => plot.entry === entry.name).map(figure)
    const notes = remarks(bench, entry, samples).map(text => `<li class="${kindOf(text)}">${escaped(text)}</li>`)
    return `<h2 id="${entry.name}">${entry.name}</h2><p>${escaped(entry.claim)}</p>
${figures.join('\n')}
<div class="wide">${table(resultRows(samples))}</div>
<ul>${notes.join('\n')}</ul>`
  })
  const change = bench.options.base === undefined ? '' : `<h2>Change against base</h2>${table(changeRows(bench.samples))}`
  return page('virtbroker: measurements', `<p>${escaped(machineText(machine)).replaceAll('\n', '<br>')}</p>
<p>Figures are medians of the rounds; a ratio is the median of the rounds' ratios. How they are taken, and how to
read them, is in docs/benchmarks.md.</p>
${sections.join('\n')}
${change}`)
}

/** A whole page of this look. `body` is HTML. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>
<h1>${escaped(title)}</h1>
${body}
</body></html>
`
}

export const figure = ({ title, svg }: Pick<Plot, 'title' | 'svg'>): string =>
  `<figure><figcaption>${escaped(title)}</figcaption>${svg}</figure>`

export function table([titles = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map(cell => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`
  const body = rows.map(row => line(row, 'td')).join('\n')
  return `<table><thead>${line(titles, 'th')}</thead><tbody>${body}</tbody></table>`
}

function kindOf(text: string): string {
  if (text.startsWith('Goal met')) return 'met'
  if (text.startsWith('Goal')) return 'missed'
  return text.startsWith('Mind') ? 'mind' : 'plain'
}

export const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
