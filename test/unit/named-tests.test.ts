import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'

const root = new URL('../../../', import.meta.url)
const NAMED = /`((?:unit|session|daemon|interop)\/[a-z/-]+[a-z])`/g

describe('the pages', () => {
  for (const page of readdirSync(new URL('docs/', root)).filter(name => name.endsWith('.md'))) {
    it(`(${page}) name tests that are there`, () => {
      const text = readFileSync(new URL(`docs/${page}`, root), 'utf8')
      const named = Array.from(text.matchAll(NAMED), ([, name]) => name!)
      const isThere = (name: string): boolean => ['', '.test.ts'].some(end => existsSync(new URL(`test/${name}${end}`, root)))
      expect(named.filter(name => !isThere(name))).to.deep.equal([])
    })
  }
})
