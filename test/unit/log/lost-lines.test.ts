import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { LogFormat, LogOutput } from '#main/config/log-settings.js'
import { openOutput } from '#main/log/outputs.js'
import { Cleanup } from '../../support/cleanup.js'
import { DatagramReceiver } from '../../support/datagram-receiver.js'
import { Fifo } from '../../support/fifo.js'
import { tempDir } from '../../support/temp-dir.js'

describe('lines that their reader does not take', () => {
  const cleanup = new Cleanup()
  let dir: string
  beforeEach(async () => {
    dir = await tempDir(cleanup)
  })
  afterEach(() => cleanup.run())

  function open(output: LogOutput, format: LogFormat = 'text'): (message: string) => void {
    const sockets = { syslog: join(dir, 'socket'), journal: join(dir, 'socket') }
    const transport = openOutput(output, format, [], sockets)
    cleanup.defer(() => Promise.resolve(void transport.close?.()))
    return message => {
      transport.log?.({ level: 'warning', kind: 'call-denied', source: 's', message, about: {}, time: Date.now() }, () => undefined)
    }
  }

  function listen(): DatagramReceiver {
    const receiver = new DatagramReceiver(join(dir, 'socket'))
    cleanup.defer(() => Promise.resolve(receiver.close()))
    return receiver
  }

  const all = (receiver: DatagramReceiver): string[] => {
    const datagrams: string[] = []
    for (let next; (next = receiver.receive()) !== undefined;) datagrams.push(next)
    return datagrams
  }

  for (const to of ['journald', 'syslog'] as const) {
    it(`are counted, and told when it takes some again: ${to}`, () => {
      const receiver = listen()
      const write = open(to === 'syslog' ? { level: 1, to, ident: 'me' } : { level: 1, to })
      for (let i = 0; i < 3000; i++) write(`line ${i}.`)
      const kept = all(receiver)
      expect(kept.length).to.be.within(1, 2999)
      for (const [i, line] of kept.entries()) expect(line).to.include(`line ${i}.`)
      write('back')
      const [lost, back, ...more] = all(receiver)
      expect(lost).to.include(`${3000 - kept.length} lines of the log were lost here`)
      expect(back).to.include('back')
      expect(more).to.deep.equal([])
    })
  }

  it('are counted while the log daemon is away, and it is found again when it is back', () => {
    const first = listen()
    const write = open({ level: 1, to: 'journald' })
    write('one')
    expect(all(first)).to.have.length(1)
    first.close()
    write('two')
    write('three')
    const second = listen()
    write('four')
    const lines = all(second)
    expect(lines).to.have.length(2)
    expect(lines[0]).to.include('2 lines of the log were lost here').and.include('VIRTBROKER_KIND=log-lost')
    expect(lines[1]).to.include('MESSAGE=four')
  })

  it('do not tear others when there was room for a part of one', () => {
    const fifo = new Fifo(cleanup, join(dir, 'fifo'))
    const write = open({ level: 1, to: 'file', path: fifo.path }, 'json')
    // More than a pipe takes as one piece, so that it takes a part of the last.
    const long = '☃'.repeat(4000)
    for (let i = 0; i < 10; i++) write(long)
    const kept = fifo.read().split('\n')
    write('back')
    const [rest, lost, back, end] = fifo.read().split('\n')
    expect([rest, end]).to.deep.equal(['', ''])
    for (const line of kept.slice(0, -1)) expect(JSON.parse(line)).to.include({ message: long })
    expect(kept.at(-1)).to.match(/^\{"time"/)
    expect(JSON.parse(lost!)).to.include({ kind: 'log-lost', level: 'error' })
    expect(lost).to.include(`${10 - (kept.length - 1)} lines of the log were lost here`)
    expect(JSON.parse(back!)).to.include({ message: 'back' })
  })

  it('are told at the end if not before', () => {
    const receiver = listen()
    const transport = openOutput({ level: 1, to: 'journald' }, 'text', [], { syslog: '', journal: receiver.path })
    for (let i = 0; i < 3000; i++) {
      transport.log?.({ level: 'info', kind: undefined, source: 's', message: 'x', about: {}, time: 0 }, () => undefined)
    }
    all(receiver)
    transport.close?.()
    expect(all(receiver)).to.have.length(1)
    rmSync(receiver.path)
  })
})
