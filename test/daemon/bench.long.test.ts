import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'

const bench = new URL('../../bench/main.js', import.meta.url).pathname

interface Line {
  kind: string
  entry?: string
  peer?: string
  figure?: string
  value?: number
}

// Figures must come out; how good they are is not a test's business.
describe('npm run bench', () => {
  const out = mkdtempSync(join(tmpdir(), 'vb-bench-'))
  after(() => rmSync(out, { recursive: true, force: true }))

  it('measures every peer and writes a table, a page with plots, and the figures', async function () {
    this.timeout(180_000)
    const entries = ['small-calls', 'connect-cycle', 'idle-memory', 'streams']
    const argv = [bench, '--smoke', '--entry', entries.join(','), '--out', out]
    const { stdout } = await promisify(execFile)(process.execPath, argv)
    const lines = readFileSync(join(out, 'results.ndjson'), 'utf8').trimEnd().split('\n')
    const parsed = lines.map(line => JSON.parse(line) as Line)
    expect(parsed[0]).to.include({ kind: 'machine', node: process.version })
    for (const entry of entries) {
      expect(stdout).to.contain(`### ${entry}`)
      const samples = parsed.filter(line => line.kind === 'sample' && line.entry === entry)
      const peers = new Set(samples.map(({ peer }) => peer))
      const expected = ['virtbroker', 'haproxy', 'libvirtd', ...(entry === 'idle-memory' ? [] : ['direct'])]
      expect([...peers]).to.have.members(expected)
      for (const { value } of samples) expect(value).to.be.a('number').and.satisfy(Number.isFinite)
    }
    expect(JSON.stringify(parsed.filter(({ kind }) => kind === 'warning')))
      .to.not.match(/failures|nothing was done/)
    const page = readFileSync(join(out, 'report.html'), 'utf8')
    expect(page.match(/<svg/g)).to.have.lengthOf(3)
    expect(readFileSync(join(out, 'cost-against-clients.svg'), 'utf8')).to.match(/^<svg/)
  })

  it('names the entries that there are when it is asked for another', async () => {
    const failed = await promisify(execFile)(process.execPath, [bench, '--entry', 'nothing']).catch((e: unknown) => e)
    expect(failed).to.have.property('stderr').that.matches(/no entry 'nothing'; there are small-calls, /)
  })
})
