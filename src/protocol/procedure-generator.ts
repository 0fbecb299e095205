/**
 * Turns the facts of docs/procedures.tsv into the two checked-in tables. `npm run generate` runs it; a unit test fails
 * when the tables and the facts disagree. Text, not a table read at start, because the constants bring their types.
 */

const HEADING = '// Generated from docs/procedures.tsv by `npm run generate`. Do not edit.\n'
const PROGRAMS = ['remote', 'qemu', 'lxc', 'admin', 'keepalive'] as const
const MAX_LINE = 118 // 120 less the comma and a spare

type Fact = Record<string, string>

function parse(tsv: string): Fact[] {
  const [heading, ...lines] = tsv.trimEnd().split('\n')
  const columns = heading!.split('\t')
  return lines.map(line => Object.fromEntries(line.split('\t').map((value, i) => [columns[i]!, value])))
}

const quoted = (text: string | undefined): string => `'${text ?? ''}'`

/** `DOMAIN_GET_XML_DESC` → `domainGetXmlDesc` */
function camelCase(name: string): string {
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** Which direction carries descriptors is told in the remarks only. */
function descriptors(note: string): string {
  if (note === 'call carries file descriptors') return 'call'
  if (note === 'reply carries file descriptors') return 'reply'
  return note === 'call and reply carry file descriptors' ? 'both' : 'none'
}

/** Cells joined into lines of at most MAX_LINE characters. */
function wrapped(cells: string[]): string {
  const lines = ['  ']
  for (const cell of cells) {
    const line = lines.at(-1)!
    if (line.length + cell.length <= MAX_LINE) lines[lines.length - 1] += `${cell} `
    else lines.push(`    ${cell} `)
  }
  return lines.map(line => line.trimEnd()).join('\n')
}

function row(fact: Fact): string {
  const cells = [
    fact.number,
    quoted(fact.name),
    quoted(fact.kind),
    quoted(fact.priority),
    quoted(fact.stream),
    quoted(fact.owner),
    fact.local,
    quoted(fact.readonly),
    quoted(fact.since),
    fact.args,
    fact.ret,
    quoted(descriptors(fact.note ?? '')),
    quoted(fact.aclfilter),
    quoted(fact.binds),
    quoted(fact.object),
    fact.pure
  ]
  const words = fact.acl && fact.acl !== 'none' ? fact.acl.split(';').map(quoted) : []
  const texts = `[${cells.join(',\t')},\t[${words.join(',\t')}]]`
  return wrapped(texts.split('\t'))
}

/** Text of procedure-table.ts: one tuple a procedure, see `Row` in procedure-row.ts. */
export function tableText(tsv: string): string {
  const facts = parse(tsv)
  const tables = PROGRAMS.map(program => {
    const rows = facts.filter(fact => fact.program === program).map(row)
    return `\nexport const ${program.toUpperCase()}_ROWS: readonly Row[] = [\n${rows.join(',\n')}\n]\n`
  })
  return `${HEADING}import type { Row } from './procedure-row.js'\n${tables.join('')}`
}

/** Text of procedure-numbers.ts: an object of named numbers for each program. */
export function numbersText(tsv: string): string {
  const facts = parse(tsv)
  const objects = PROGRAMS.map(program => {
    const lines = facts
      .filter(fact => fact.program === program)
      .map(fact => `  ${camelCase(fact.name!)}: ${fact.number}`)
    return `\nexport const ${program.toUpperCase()} = {\n${lines.join(',\n')}\n} as const\n`
  })
  return `${HEADING}${objects.join('')}`
}
