import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { tooOld } from '#main/life/node-version.js'
import { run } from '../support/processes.js'

const root = new URL('../../../', import.meta.url)
const script = (name: string): string => new URL(name, root).pathname

/** Node, told to be another. */
const nodeAs = (version: string, ...args: string[]): string[] => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
  return [process.execPath, '--import', `data:text/javascript,${encodeURIComponent(pretend)}`, ...args]
}

describe('the version of Node', () => {
  it('is told where it is too old', () => {
    for (const old of ['8.17.0', '18.20.8', '20.0.0', '20.18.3', '9.20.0']) {
      expect(tooOld(old), old).to.match(new RegExp(`^virtbroker needs Node.js 20.19 or later; this is ${old} \\(/`))
    }
    for (const good of [process.versions.node, '20.19.0', '20.20.0', '21.0.0', '100.1.0', '22.0.0-nightly']) {
      expect(tooOld(good), good).to.equal('')
    }
  })

  it('is the one that the package asks for', () => {
    const { engines } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { engines: { node: string } }
    expect(engines.node).to.equal('>=20.19')
  })

  it('is looked at first of all by the broker', async () => {
    const { status, stdout, stderr } = await run(nodeAs('18.20.4', script('dist/main/virtbrokerd.js'), '--help'))
    expect(stderr).to.match(/^virtbroker needs Node.js 20.19 or later; this is 18.20.4 \(\/.*\)\n$/)
    expect(stdout).to.equal('')
    expect(status).to.equal(1)
    expect((await run(nodeAs('20.19.0', script('dist/main/virtbrokerd.js'), '--help'))).status).to.equal(0)
  })

  it('is looked at by npm start before anything is built', async () => {
    const { status, stdout, stderr } = await run(nodeAs('18.20.4', script('packaging/start.js')))
    expect(stderr).to.equal('Node.js 20.19 or later is needed; this is 18.20.4.\n')
    expect(stdout).to.equal('')
    expect(status).to.equal(1)
  })
})
