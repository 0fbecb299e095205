import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { KEYS, keyNames } from '#main/config/keys.js'
import { parseCommandLine } from '#main/cli.js'

/** What --help has: the program's own table of options. */
function longOptions(): string[] {
  const help = parseCommandLine(['--help'], true)
  if (!('exit' in help)) throw new Error('there is no help')
  return [...help.stderr.matchAll(/^ .*?(--[a-z-]+)/gm)].map(([, option]) => option!)
}

describe('the manual pages', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vb-'))
  after(() => rmSync(dir, { recursive: true }))
  const page = (name: string): string => readFileSync(join(dir, name), 'utf8').replaceAll('\\-', '-')
  before(() => {
    const { status, stderr } = spawnSync(process.execPath, ['packaging/man/make.js', dir], { encoding: 'utf8' })
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
  })

  it('name every option', () => {
    expect(longOptions()).to.include('--check-config')
    for (const option of longOptions()) expect(page('virtbrokerd.8')).to.match(new RegExp(`${option}\\b`))
  })

  it('name every key that has a meaning, once', () => {
    const named = [...page('virtbrokerd.conf.5').matchAll(/^\\fB([a-z_]+)\\fR = /gm)].map(([, key]) => key)
    expect(named).to.have.members(keyNames.filter(name => KEYS[name].type !== 'anything'))
  })

  it('say of a key what a reload does to it', () => {
    const text = page('virtbrokerd.conf.5')
    expect(text).to.match(/^\\fBmax_clients\\fR = 5000\n[^\\]+\.br\n\(unsigned integer\) A reload changes it for all\.$/m)
    expect(text).to.match(/^\\fBactor_threads\\fR = 0\n[^\\]+\.br\n\(unsigned integer\) A change needs a restart\.$/m)
  })
})

describe('the completion of bash', () => {
  /** What is offered for the last word of a command line. */
  function offered(...words: string[]): string[] {
    const complete = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _virtbrokerd; printf "%s\\n" "${COMPREPLY[@]}"'
    const script = `source packaging/completion/virtbrokerd; ${complete}`
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', 'virtbrokerd', ...words], { encoding: 'utf8' })
    expect(stderr).to.equal('')
    return stdout.trim().split('\n')
  }

  it('offers the options', () => {
    expect(offered('--')).to.have.members(longOptions())
    expect(offered('--ch')).to.deep.equal(['--check-config'])
  })

  it('offers files where one is wanted', () => expect(offered('-f', 'package.j')).to.deep.equal(['package.json']))
})
