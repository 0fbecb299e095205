import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'

const root = new URL('../../../', import.meta.url)
const KINDS = ['', '.alone', '.long']
const NAMED = /`((?:unit|session|daemon|interop|page)\/[a-z/-]+[a-z])`/g

describe('the pages', () => {
  for (const page of readdirSync(new URL('docs/', root)).filter(name => name.endsWith('.md'))) {
    it(`(${page}) name tests that are there`, () => {
      const text = readFileSync(new URL(`docs/${page}`, root), 'utf8')
      const named = Array.from(text.matchAll(NAMED), ([, name]) => name!)
      const ends = ['', ...KINDS.map(kind => `${kind}.test.ts`)]
      const isThere = (name: string): boolean => ends.some(end => existsSync(new URL(`test/${name}${end}`, root)))
      expect(named.filter(name => !isThere(name))).to.deep.equal([])
    })
  }
})

describe('the names of test files', () => {
  it('have endings by which they are run (package.json)', () => {
    const names = readdirSync(new URL('test/', root), { recursive: true, encoding: 'utf8' })
    const endings = names.flatMap(name => /[^/]*?(\..*)?\.test\.ts$/.exec(name)?.slice(1) ?? [])
    expect(endings.length).to.be.greaterThan(100)
    expect(endings.filter(ending => !KINDS.includes(ending ?? ''))).to.deep.equal([])
  })
})
