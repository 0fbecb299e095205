import { expect } from 'chai'
import { defaultOutput, logSettings, parseFilters, parseOutputs } from '#main/config/log-settings.js'

const file = (level = 0, filters?: string, outputs?: string, format = 'text') => ({ level, filters, outputs, format })

describe('log filters', () => {
  it('take their match anywhere in the name of the source', () => {
    const [filter] = parseFilters('1:netserver')
    expect(filter?.match).to.equal('*netserver*')
  })

  it('are separated by blanks; a leading plus and what stands behind a second colon count for nothing', () => {
    expect(parseFilters('  1:qemu   3:+rpc 2:a:b ')).to.deep.equal([
      { level: 1, match: '*qemu*' },
      { level: 3, match: '*rpc*' },
      { level: 2, match: '*a*' }
    ])
    expect(parseFilters(' ')).to.deep.equal([])
  })

  const refused: [string, string][] = [
    ['qemu', "invalid argument: Malformed format for filter 'qemu'"],
    ['5:qemu', "invalid argument: Invalid priority '5' for filter '5:qemu'"],
    ['0:qemu', "invalid argument: Invalid priority '0' for filter '0:qemu'"],
    ['a:qemu', "invalid argument: Invalid priority 'a' for filter 'a:qemu'"],
    [':qemu', "invalid argument: Invalid priority '' for filter ':qemu'"],
    ['1:', "invalid argument: Invalid match string ''"],
    ['1:+', "invalid argument: Invalid match string '+'"]
  ]
  for (const [text, message] of refused) {
    it(`refuse ${text}`, () => expect(() => parseFilters(text)).to.throw(message))
  }
})

describe('log outputs', () => {
  it('are of four kinds', () => {
    expect(parseOutputs('1:stderr 02:file:/var/log/x 3:syslog:me 4:journald')).to.deep.equal([
      { level: 1, to: 'stderr' },
      { level: 2, to: 'file', path: '/var/log/x' },
      { level: 3, to: 'syslog', ident: 'me' },
      { level: 4, to: 'journald' }
    ])
  })

  it('make relative paths absolute', () => {
    expect(parseOutputs('1:file:x')).to.deep.equal([{ level: 1, to: 'file', path: `${process.cwd()}/x` }])
  })

  it('to the same place: the last is kept', () => {
    expect(parseOutputs('3:stderr 1:file:/a 1:file:/b 1:stderr')).to.deep.equal([
      { level: 1, to: 'file', path: '/a' },
      { level: 1, to: 'file', path: '/b' },
      { level: 1, to: 'stderr' }
    ])
  })

  const refused: [string, string][] = [
    ['stderr', "Malformed format for log output 'stderr'"],
    ['9:stderr', "Invalid log priority '9' for log output '9:stderr'"],
    [':stderr', "Invalid log priority '' for log output ':stderr'"],
    ['1:nope', "Invalid log destination 'nope' for log output '1:nope'"],
    ['1:', "Invalid log destination '' for log output '1:'"],
    ['1:file', "Log output '1:file' does not meet the format requirements for destination type 'file'"],
    ['1:file:/a:b', "Log output '1:file:/a:b' does not meet the format requirements for destination type 'file'"],
    ['1:syslog', "Log output '1:syslog' does not meet the format requirements for destination type 'syslog'"],
    ['1:stderr:x', "Log output '1:stderr:x' does not meet the format requirements for destination type 'stderr'"],
    ['1:journald:x', "Log output '1:journald:x' does not meet the format requirements for destination type 'journald'"]
  ]
  for (const [text, message] of refused) {
    it(`refuse ${text}`, () => expect(() => parseOutputs(text)).to.throw(`invalid argument: ${message}`))
  }

  it('go where virtproxyd would write when nobody says anything', () => {
    const at = (daemon: boolean, stdinIsTerminal: boolean, journalWritable: boolean, level: 1 | 3 = 3) =>
      defaultOutput(level, { daemon, stdinIsTerminal, journalWritable, logFile: '/l' })
    expect(at(false, true, true)).to.deep.equal({ level: 3, to: 'stderr' })
    expect(at(false, false, false)).to.deep.equal({ level: 3, to: 'stderr' })
    expect(at(false, false, true)).to.deep.equal({ level: 3, to: 'journald' })
    expect(at(true, true, true)).to.deep.equal({ level: 3, to: 'journald' })
    expect(at(true, true, true, 1)).to.deep.equal({ level: 2, to: 'journald' })
    expect(at(true, true, false, 1)).to.deep.equal({ level: 1, to: 'file', path: '/l' })
  })
})

describe('log settings', () => {
  it('are warnings, to the default output, without filters, when nobody says anything', () => {
    expect(logSettings(file(), {}, false)).to.deep.equal({ level: 3, filters: [], outputs: [], format: 'text' })
  })

  it('of the environment beat those of the file', () => {
    const env = { LIBVIRT_DEBUG: 'error', LIBVIRT_LOG_FILTERS: '1:x', LIBVIRT_LOG_OUTPUTS: '2:stderr' }
    const found = logSettings(file(1, '2:y', '1:journald'), env, false)
    expect(found.level).to.equal(4)
    expect(found.filters).to.deep.equal([{ level: 1, match: '*x*' }])
    expect(found.outputs).to.deep.equal([{ level: 2, to: 'stderr' }])
  })

  it('take the level of the environment by number or name', () => {
    for (const text of ['1', 'debug']) expect(logSettings(file(), { LIBVIRT_DEBUG: text }, false).level).to.equal(1)
    expect(logSettings(file(2), { LIBVIRT_DEBUG: '' }, false).level).to.equal(2)
  })

  it('become talkative with -v, which never makes them less so', () => {
    expect(logSettings(file(4), { LIBVIRT_DEBUG: '4' }, true).level).to.equal(2)
    expect(logSettings(file(1), {}, true).level).to.equal(1)
  })

  it('refuse levels that do not exist', () => {
    const text = (level: string) => `invalid argument: Failed to set logging priority, argument '${level}' is invalid`
    expect(() => logSettings(file(5), {}, false)).to.throw(text('5'))
    expect(() => logSettings(file(), { LIBVIRT_DEBUG: 'bad' }, false)).to.throw(text('bad'))
  })

  it('know two forms of lines', () => {
    expect(logSettings(file(0, '', '', 'json'), {}, false).format).to.equal('json')
    expect(() => logSettings(file(0, '', '', 'xml'), {}, false)).to.throw("invalid argument: log_format 'xml' is neither text nor json")
  })

  it('of the file must be right even where the environment beats them', () => {
    expect(() => logSettings(file(0, 'x'), { LIBVIRT_LOG_FILTERS: '1:y' }, false)).to.throw("filter 'x'")
  })
})
