import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { KEYS, keyNames } from '#main/config/keys.js'
import { parseCommandLine } from '#main/cli.js'
import { makeProgram } from '#main/ctl/program.js'

/** What --help has: the program's own table of options. */
function longOptions(): string[] {
  const help = parseCommandLine(['--help'], true)
  if (!('exit' in help)) throw new Error('there is no help')
  return [...help.stderr.matchAll(/^ .*?(--[a-z-]+)/gm)].map(([, option]) => option!)
}

/** Commands of virtbrokerctl, each with its options and those of all. */
function ctlCommands(): Map<string, string[]> {
  const { options, commands } = makeProgram()
  const long = (of: typeof options): string[] => [...of.map(option => option.long!), '--help']
  return new Map([['', long(options)], ...commands.map(command => [command.name(), long(command.options)] as const)])
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

  it('name every command of virtbrokerctl, and its options', () => {
    expect([...ctlCommands().keys()]).to.include.members(['', 'status', 'clients'])
    const text = page('virtbrokerctl.8')
    for (const [command, options] of ctlCommands()) {
      expect(text).to.match(new RegExp(`^\\.BI?R? ("?)${command}\\b`, 'm'))
      for (const option of options) if (option !== '--help') expect(text).to.match(new RegExp(`${option}\\b`))
    }
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
  function offeredBy(program: string, ...words: string[]): string[] {
    const complete = `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _${program}; printf "%s\\n" "\${COMPREPLY[@]}"`
    const script = `source packaging/completion/${program}; ${complete}`
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', program, ...words], { encoding: 'utf8' })
    expect(stderr).to.equal('')
    return stdout.trim().split('\n')
  }
  const offered = (...words: string[]): string[] => offeredBy('virtbrokerd', ...words)

  it('offers the commands of virtbrokerctl, and the options of each', () => {
    const commands = ctlCommands()
    expect(offeredBy('virtbrokerctl', '')).to.have.members([...commands.keys()].filter(name => name !== ''))
    const common = commands.get('')!
    expect(offeredBy('virtbrokerctl', '-')).to.have.members(common)
    for (const [name, options] of commands) {
      if (name === '') continue
      const all = [...new Set([...options, ...common.filter(option => option !== '--version')])]
      expect(offeredBy('virtbrokerctl', name, '--'), name).to.have.members(all)
    }
    expect(offeredBy('virtbrokerctl', '-s', '/x', 'clients', '--sort', 'dr')).to.deep.equal(['driver'])
    expect(offeredBy('virtbrokerctl', '--socket', 'package.j')).to.deep.equal(['package.json'])
  })

  it('offers the options', () => {
    expect(offered('--')).to.have.members(longOptions())
    expect(offered('--ch')).to.deep.equal(['--check-config'])
  })

  it('offers files where one is wanted', () => expect(offered('-f', 'package.j')).to.deep.equal(['package.json']))
})
