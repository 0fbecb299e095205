import { expect } from 'chai'
import type { LogRecord } from '#main/log/record.js'
import { Repeats } from '#main/log/repeats.js'
import { SOURCE } from '#workers/base/log.js'
import { waitFor } from '../../support/waiting.js'

describe('messages that repeat the one before', () => {
  let written: LogRecord[]
  let repeats: Repeats
  beforeEach(() => {
    written = []
    repeats = new Repeats(record => written.push(record), undefined, { firstMs: 50, longestMs: 200 })
  })

  const say = (message: string, over: Partial<LogRecord> = {}): void =>
    repeats.take({
      level: 'warning', kind: 'listener-failed', source: SOURCE.listener, message, about: { listener: 'tcp' }, time: Date.now(),
      ...over
    })
  const messages = (): string[] => written.map(({ message }) => message)

  it('are counted until another comes', () => {
    for (let i = 0; i < 1000; i++) say('no memory', { time: 5000 + i })
    expect(messages()).to.deep.equal(['no memory'])
    say('other')
    expect(messages()).to.deep.equal(['no memory', 'no memory (said 999 times more)', 'other'])
    expect(written[1]).to.include({ repeated: 999, kind: 'listener-failed', time: 5999 })
  })

  it('are told after a while, and later each time that they go on', async () => {
    say('no memory')
    const pauses: number[] = []
    for (let round = 0; round < 4; round++) {
      const before = written.length
      const since = performance.now()
      say('no memory')
      await waitFor('the count', () => {
        say('no memory')
        return written.length > before
      })
      pauses.push(performance.now() - since)
    }
    for (const message of messages().slice(1)) expect(message).to.match(/^no memory \(said (once|\d+ times) more\)$/)
    for (const [round, least] of [50, 100, 200, 200].entries()) expect(pauses[round]).to.be.at.least(least - 2)
  })

  it('are new when a long time has passed', () => {
    say('no memory', { time: 1000 })
    say('no memory', { time: 1201 })
    expect(messages()).to.deep.equal(['no memory', 'no memory'])
  })

  it('are about the same, and of the same kind', () => {
    say('closed', { about: { client: 1 } })
    say('closed', { about: { client: 2 } })
    say('closed', { about: { client: 2 }, kind: 'client-silent' })
    expect(written.map(({ repeated }) => repeated)).to.deep.equal([undefined, undefined, undefined])
  })

  it('are all written below warning', () => {
    for (let i = 0; i < 3; i++) say('ready', { level: 'info', kind: undefined })
    expect(messages()).to.deep.equal(['ready', 'ready', 'ready'])
  })

  it('are told when the log ends, or goes elsewhere', () => {
    for (let i = 0; i < 3; i++) say('no memory')
    repeats.end()
    say('no memory')
    expect(messages()).to.deep.equal(['no memory', 'no memory (said 2 times more)', 'no memory'])
  })
})
