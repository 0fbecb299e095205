import { readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { catalogText, pageText } from '#main/log/catalog.js'
import { MESSAGE_KINDS } from '#workers/base/log-kinds.js'

const root = new URL('../../../../', import.meta.url)
const text = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const kinds = Object.entries(MESSAGE_KINDS)

describe('the kinds of messages', () => {
  it('have names and ids of their own', () => {
    for (const [name, { id }] of kinds) {
      expect(name).to.match(/^[a-z]+(-[a-z]+)*$/)
      expect(id, name).to.match(/^[0-9a-f]{32}$/)
    }
    expect(new Set(kinds.map(([, { id }]) => id)).size).to.equal(kinds.length)
  })

  it('are all said somewhere', () => {
    const files = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
    const sources = files.filter(file => !file.endsWith('log-kinds.ts')).map(file => text(`src/${file}`)).join('\n')
    expect(kinds.map(([name]) => name).filter(name => !sources.includes(`'${name}'`))).to.deep.equal([])
  })

  it('are explained in the page and in the catalog (npm run generate)', () => {
    expect(text('docs/log-messages.md')).to.equal(pageText())
    expect(text('packaging/systemd/virtbroker.catalog')).to.equal(catalogText())
  })
})
