import { expect } from 'chai'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { LEVEL, parseFilters, parseOutputs, type Level, type LogOutput } from '#main/config/log-settings.js'
import { encodeJournalFields } from '#main/log/journal.js'
import { openOutput } from '#main/log/outputs.js'
import { Logger } from '#main/log/logger.js'
import { MESSAGE_KINDS } from '#workers/base/log-kinds.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import { descriptorsOf } from '../support/process-state.js'

describe('the log', () => {
  let dir: string
  let count = 0
  let path: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-log-'))
  })
  after(() => rmSync(dir, { recursive: true }))
  beforeEach(() => {
    path = join(dir, `${count++}.log`)
  })

  const open = (level: Level = LEVEL.debug, filters = '', outputs = `1:file:${path}`): Logger =>
    new Logger({ level, filters: parseFilters(filters), outputs: parseOutputs(outputs), format: 'text' })

  /** The lines after the two with which an output begins, less time and process id. */
  const lines = (file = path): string[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(2, -1)
      .map(line => line.replace(/^\S+ \S+: \d+: /, ''))

  it('has lines in the form of libvirt', async () => {
    const logger = open()
    logger.log('internal-failure', 'rpc.netsocket', 'something broke')
    await logger.close()
    const [first, second, third] = readFileSync(path, 'utf8').split('\n')
    const head = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: ${process.pid}`
    expect(first).to.match(new RegExp(`^${head}: info : virtbroker version: \\d+\\.\\d+\\.\\d+$`))
    expect(second).to.match(new RegExp(`^${head}: info : hostname: ${hostname()}$`))
    expect(third).to.match(new RegExp(`^${head}: error : rpc.netsocket : something broke$`))
  })

  it('has four levels', async () => {
    const logger = open()
    logger.debug('s', 'd')
    logger.info('s', 'i')
    logger.log('call-denied', 's', 'w')
    logger.log('internal-failure', 's', 'e')
    await logger.close()
    expect(lines()).to.deep.equal(['debug : s : d', 'info : s : i', 'warning : s : w', 'error : s : e'])
  })

  it('is in a file that only the owner can read, and is appended to', async () => {
    for (const message of ['one', 'two']) {
      const logger = open()
      logger.log('internal-failure', 's', message)
      await logger.close()
    }
    expect(statSync(path).mode & 0o777).to.equal(0o600)
    expect(readFileSync(path, 'utf8')).to.match(/one\n.*\n.*\n.*two\n$/)
  })

  it('is silent until the first message', async () => {
    await open().close()
    expect(readFileSync(path, 'utf8')).to.equal('')
  })

  it('keeps what is at least of the level', async () => {
    const logger = open(LEVEL.warning)
    logger.info('s', 'no')
    logger.log('call-denied', 's', 'yes')
    expect(logger.isHeard(LEVEL.info, 's')).to.equal(false)
    expect(logger.lowestLevel).to.equal(LEVEL.warning)
    await logger.close()
    expect(lines()).to.deep.equal(['warning : s : yes'])
  })

  it('knows wildcards in filters, which take their match anywhere in the name of the source', () => {
    const [filters, outputs] = [parseFilters('1:rpc.*client 1:socket'), parseOutputs('1:stderr')]
    const logger = new Logger({ level: LEVEL.error, filters, outputs, format: 'text' })
    const heard = (source: string): boolean => logger.isHeard(LEVEL.debug, source)
    expect([heard('rpc.netserverclient'), heard('rpc.netsocket'), heard('rpc.netserver')]).to.deep.equal([true, true, false])
  })

  it('lets the first filter that fits decide', async () => {
    const logger = open(LEVEL.warning, '4:rpc.netsocket 1:rpc')
    logger.log('call-denied', 'rpc.netsocket', 'no')
    logger.debug('rpc.keepalive', 'yes')
    logger.info('daemon.remote', 'no')
    expect(logger.lowestLevel).to.equal(LEVEL.debug)
    await logger.close()
    expect(lines()).to.deep.equal(['debug : rpc.keepalive : yes'])
  })

  it('gives each output what it asks for', async () => {
    const other = join(dir, 'other.log')
    const logger = open(LEVEL.debug, '', `1:file:${path} 4:file:${other}`)
    logger.info('s', 'one')
    logger.log('internal-failure', 's', 'two')
    await logger.close()
    expect(lines()).to.deep.equal(['info : s : one', 'error : s : two'])
    expect(lines(other)).to.deep.equal(['error : s : two'])
  })

  it('changes its rules and outputs while it runs', async () => {
    const other = join(dir, 'second.log')
    const logger = open(LEVEL.warning)
    logger.info('s', '1')
    logger.setLevel(LEVEL.info)
    logger.info('s', '2')
    logger.setFilters(parseFilters('4:s'))
    logger.log('call-denied', 's', '3')
    logger.setFilters([])
    await new Promise(setImmediate)
    logger.setOutputs(parseOutputs(`2:file:${other}`))
    logger.debug('s', '4')
    logger.log('call-denied', 's', '5')
    await logger.close()
    expect(lines()).to.deep.equal(['info : s : 2'])
    expect(lines(other)).to.deep.equal(['warning : s : 5'])
  })

  it('goes elsewhere though a file cannot be closed in order', async () => {
    const logger = open()
    for (const fd of descriptorsOf(path)) closeSync(fd)
    // One that opens nothing, which would be given the number that is free now.
    logger.setOutputs(parseOutputs('4:syslog:me'))
    logger.setOutputs(parseOutputs(`1:file:${path}`))
    logger.info('s', 'there')
    await logger.close()
    expect(lines()).to.deep.equal(['info : s : there'])
  })

  it('loses nothing when outputs change many times in one turn', async () => {
    const logger = open()
    for (let i = 0; i < 50; i++) {
      logger.log('internal-failure', 's', String(i))
      logger.setOutputs(parseOutputs(`1:file:${path}`))
    }
    await logger.close()
    const kept = readFileSync(path, 'utf8').split('\n').filter(line => line.includes(' : s : '))
    expect(kept.map(line => Number(line.split(' : s : ')[1]))).to.deep.equal([...Array(50).keys()])
  })

  it('stays as it is when a new output cannot be opened', async () => {
    const logger = open()
    const unwritten = join(dir, 'unwritten.log')
    expect(() => logger.setOutputs(parseOutputs(`1:file:${unwritten} 1:file:/nowhere/x`))).to.throw(
      'failed to open /nowhere/x: No such file or directory'
    )
    logger.log('internal-failure', 's', 'still here')
    await logger.close()
    expect(lines()).to.deep.equal(['error : s : still here'])
    expect(readFileSync(unwritten, 'utf8')).to.equal('')
  })

  it('cannot be forged by the text of a message', async () => {
    const logger = open()
    logger.log('internal-failure', 's', 'name\n2026-01-01 00:00:00.000+0000: 1: error : x : forged\r\x1b[2J\u202e')
    await logger.close()
    expect(lines()[0]).to.equal('error : s : name')
    expect(lines()[1]).to.match(/^ {4}2026/).and.to.match(/forged\\x0d\\x1b\[2J\\u202e$/)
  })

  it('survives a full disk', async () => {
    const logger = open(LEVEL.debug, '', '1:file:/dev/full')
    logger.log('internal-failure', 's', 'lost')
    await logger.close()
  })

  it('is on stderr before the process dies', () => {
    const script = `
      import { Logger } from '#main/log/logger.js'
      const logger = new Logger({ level: 3, filters: [], outputs: [], format: 'text' })
      logger.log('internal-failure', 'daemon.virtproxyd', 'last words')
      await logger.close()
      process.exit(3)`
    const { status, stderr, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8'
    })
    expect([status, stdout]).to.deep.equal([3, ''])
    expect(stderr).to.match(/: error : daemon.virtproxyd : last words\n$/)
  })
})

describe('log daemons', () => {
  let dir: string
  let receiver: DatagramReceiver
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-log-'))
    receiver = new DatagramReceiver(join(dir, 'socket'))
  })
  afterEach(() => {
    receiver.close()
    rmSync(dir, { recursive: true })
  })

  const write = (output: LogOutput, ...messages: string[]): void => {
    const sockets = { syslog: receiver.path, journal: receiver.path }
    const transport = openOutput(output, 'text', ['hello'], sockets)
    for (const message of messages) {
      const record = { level: 'warning', kind: 'call-denied', message, source: 'rpc.netsocket', about: {}, time: Date.now() }
      transport.log?.(record, () => undefined)
    }
    transport.close?.()
  }

  it('get syslog lines with priority, local time, name and process id', () => {
    write({ level: 1, to: 'syslog', ident: 'me' }, 'one')
    const body = (priority: number, text: string): RegExp =>
      new RegExp(`^<${priority}>[A-Z][a-z]{2} [ 1-3]\\d \\d\\d:\\d\\d:\\d\\d me: ${process.pid}: ${text}$`)
    expect(receiver.receive()).to.match(body(30, 'info : hello'))
    expect(receiver.receive()).to.match(body(28, 'warning : rpc.netsocket : one'))
    expect(receiver.receive()).to.equal(undefined)
  })

  it('get the fields of the journal', () => {
    write({ level: 1, to: 'journald' }, 'one')
    expect(receiver.receive()).to.equal('MESSAGE=hello\nPRIORITY=6\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=virtbrokerd\n')
    expect(receiver.receive()?.split('\n')).to.deep.equal([
      'MESSAGE=one', `MESSAGE_ID=${MESSAGE_KINDS['call-denied'].id}`, 'VIRTBROKER_KIND=call-denied', 'PRIORITY=4', 'SYSLOG_FACILITY=3',
      'SYSLOG_IDENTIFIER=virtbrokerd', 'LIBVIRT_SOURCE=rpc.netsocket', ''
    ])
  })

  it('get the beginning of a long message', () => {
    write({ level: 1, to: 'journald' }, 'x'.repeat(4 * 1024 * 1024))
    receiver.receive()
    expect(receiver.receive()).to.match(/^MESSAGE=x{4096} \(cut\)\n/)
  })

  it('are not waited for when they do not read, and not missed when they are gone', () => {
    const many = Array.from({ length: 2000 }, (_, i) => String(i))
    write({ level: 1, to: 'journald' }, ...many)
    receiver.close()
    write({ level: 1, to: 'journald' }, 'lost')
  })
})

describe('fields for the journal', () => {
  it('end with the line, or carry their length when they have several', () => {
    expect(encodeJournalFields([['A', 1], ['B', 'x\ny'], ['C', '']]).toString('latin1')).to.equal(
      'A=1\nB\n\x03\0\0\0\0\0\0\0x\ny\nC=\n'
    )
  })
})
