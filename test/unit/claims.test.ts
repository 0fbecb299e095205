import { readFileSync } from 'node:fs'
import { expect } from 'chai'

/** The bench is built beside the tests. */
const entries = new URL('../../bench/entries/all.js', import.meta.url).href
const performance = readFileSync('docs/performance.md', 'utf8')
const page = readFileSync('docs/benchmarks.md', 'utf8')

// docs/performance.md claims nothing that the bench does not measure, and the other way round.
describe('the claims of docs/performance.md', () => {
  const rows = [...performance.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \|/gm)].map(([, name, claim]) => ({ name, claim }))

  let claims: { name: string; claim: string }[]
  before(async () => {
    const { ENTRIES } = (await import(entries)) as { ENTRIES: { name: string; claim: string }[] }
    claims = ENTRIES.map(({ name, claim }) => ({ name, claim }))
  })

  it('are those of the entries of the bench', () => {
    expect(rows).to.deep.equal(claims)
  })

  it('are measured as the page on the bench describes', () => {
    for (const { name } of claims) expect(page).to.match(new RegExp(`^\\| \`${name}\` +\\|`, 'm'))
  })
})
