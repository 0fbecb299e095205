import { expect } from 'chai'
import { readFileSync } from 'node:fs'
import { parseCommandLine, type Exit, type Options } from '#main/cli.js'

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }

function options(...argv: string[]): Options {
  const result = parseCommandLine(argv, true)
  if (!('options' in result)) throw new Error(result.stderr)
  return result.options
}

function exit(...argv: string[]): Exit {
  const result = parseCommandLine(argv, true)
  if ('options' in result) throw new Error('the program goes on')
  return result
}

describe('the command line', () => {
  const none = { timeout: 0, verbose: false, daemon: false, checkConfig: false }

  it('may be empty', () => expect(options()).to.deep.equal(none))

  it('has short options', () => {
    expect(options('-f', '/c', '-p', '', '-t', '7', '-v', '-d')).to.deep.equal({
      config: '/c',
      pidFile: '',
      timeout: 7,
      verbose: true,
      daemon: true,
      checkConfig: false
    })
  })

  it('has long options, with and without an equals sign', () => {
    const expected = { ...none, config: '/c', pidFile: '/p', timeout: 120, verbose: true, checkConfig: true }
    expect(options('--config', '/c', '--pid-file=/p', '--timeout', '120', '--verbose', '--check-config')).to.deep.equal(
      expected
    )
  })

  it('takes joined short options', () => {
    expect(options('-vdt5', '-f/c')).to.deep.equal({ ...none, config: '/c', timeout: 5, verbose: true, daemon: true })
  })

  it('takes unambiguous beginnings of long options', () => {
    expect(options('--conf=/c', '--time', '3', '--verb', '--check')).to.deep.equal({
      ...none,
      config: '/c',
      timeout: 3,
      verbose: true,
      checkConfig: true
    })
    expect(exit('--ver').exit).to.equal(1)
  })

  it('prints the version to stdout', () => {
    for (const option of ['-V', '--version']) {
      expect(exit(option)).to.deep.equal({ exit: 0, stdout: `virtbrokerd (virtbroker) ${version}\n`, stderr: '' })
    }
  })

  it('prints the help to stderr, with the default paths', () => {
    for (const option of ['-h', '--help']) {
      const { exit: code, stdout, stderr } = exit(option)
      expect([code, stdout]).to.deep.equal([0, ''])
      expect(stderr).to.match(/^Usage: virtbrokerd \[options\]/)
      for (const path of ['/etc/libvirt/virtproxyd.conf', '/run/libvirt/libvirt-sock-ro', '/run/virtbrokerd.pid']) {
        expect(stderr).to.include(path)
      }
    }
  })

  it('answers an unknown option with the usage', () => {
    for (const option of ['--bogus', '-Z', '-l', '--listen', '--verbose=3']) {
      const { exit: code, stdout, stderr } = exit(option)
      expect([code, stdout], option).to.deep.equal([1, ''])
      expect(stderr).to.match(/^virtbrokerd: unknown option '/).and.to.include('Usage: virtbrokerd [options]')
    }
  })

  it('answers a missing argument with the usage', () => {
    const { exit: code, stderr } = exit('-t')
    expect(code).to.equal(1)
    expect(stderr).to.include('argument missing').and.to.include('Usage:')
  })

  it('refuses arguments that are no options', () => {
    const expected = {
      exit: 1,
      stdout: '',
      stderr: 'virtbrokerd: unexpected, non-option, command line arguments\n'
    }
    expect(exit('foo')).to.deep.equal(expected)
    expect(exit('-v', '--', '-d')).to.deep.equal(expected)
  })

  it('refuses timeouts that are no number of seconds', () => {
    for (const text of ['x', '-1', '', '1.5', '0x10', '2147484']) {
      expect(exit('-t', text), text).to.deep.equal({
        exit: 1,
        stdout: '',
        stderr: 'virtbrokerd: Invalid value for timeout\n'
      })
    }
    expect(options('-t', '2147483').timeout).to.equal(2147483)
    expect(options('-t', '010').timeout).to.equal(10)
  })
})
