import { readFileSync } from 'node:fs'
import { expect } from 'chai'

interface Locked {
  version: string
  license?: string
  dev?: boolean
  os?: string[]
  cpu?: string[]
  hasInstallScript?: boolean
  resolved?: string
  integrity?: string
}

const root = new URL('../../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }

/** What is installed for production on the systems that the project runs on. */
const production = Object.entries(packages)
  .filter(([path, { dev }]) => path !== '' && dev !== true)
  .filter(([, { os, cpu }]) => os?.includes('linux') !== false && (cpu === undefined || cpu.some(name => ['x64', 'arm64'].includes(name))))
  .map(([path, locked]) => ({ name: path.replace(/^.*node_modules\//, ''), ...locked }))

/** Name and licence of each row of the page. */
const listed = new Map(
  [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \| ([^ |]+) \|/gm)].map(([, name = '', licence = '']) => [name, licence])
)

describe('production dependencies', () => {
  it('are the ones that docs/dependencies.md lists, with their licences', () => {
    const found = new Map(production.map(({ name, license }) => [name, license]))
    expect(Object.fromEntries([...found].sort())).to.deep.equal(Object.fromEntries([...listed].sort()))
  })

  it('have licences that go with Apache-2.0', () => {
    for (const { name, license } of production) expect(['MIT', 'ISC', 'Apache-2.0', 'BSD-3-Clause'], name).to.include(license)
  })

  it('have one install script, which is not needed', () => {
    const scripts = production.filter(({ hasInstallScript }) => hasInstallScript === true).map(({ name }) => name)
    expect(scripts).to.deep.equal(['koffi'])
  })

  it('are fixed by checksums', () => {
    for (const { name, integrity } of production) expect(integrity, name).to.match(/^sha512-/)
  })
})
