import { expect } from 'chai'
import { FollowedLog } from '#main/log/followed-log.js'
import type { LogRecord } from '#main/log/record.js'
import { SOURCE } from '#workers/base/log.js'
import { waitFor } from '../../support/waiting.js'

const record = (message: string): LogRecord =>
  ({ level: 'info', kind: undefined, source: SOURCE.client, message, about: {}, time: 0 })
const read = (log: FollowedLog, after: number): unknown[] => [...log.after(after)].map(([number, line]) => [number, messageOf(line)])
const messageOf = (line: string): unknown => (JSON.parse(line) as { message: unknown }).message

describe('a log that is followed', () => {
  it('has the lines that came since somebody follows', () => {
    const log = new FollowedLog()
    log.add(record('before'))
    expect(read(log, 0)).to.deep.equal([])
    const last = log.follow()
    log.add(record('one'))
    log.add(record('two'))
    expect(read(log, last)).to.deep.equal([[last + 1, 'one'], [last + 2, 'two']])
    expect(log.follow()).to.equal(last + 2)
    expect(read(log, last + 1)).to.deep.equal([[last + 2, 'two']])
  })

  it('keeps the last lines, and none is long', () => {
    const log = new FollowedLog()
    log.follow()
    for (let i = 1; i <= 5000; i++) log.add(record(`${i} ${'x'.repeat(100_000)}`))
    const kept = [...log.after(0)]
    expect(kept.map(([number]) => number)).to.deep.equal(Array.from({ length: 256 }, (_, at) => 4745 + at))
    for (const [, line] of kept) expect(line.length).to.be.below(2000)
  })

  it('keeps nothing when nobody asks any more', async () => {
    const log = new FollowedLog()
    log.follow(20)
    log.add(record('one'))
    expect(read(log, 0)).to.have.length(1)
    await waitFor('it to be given up', () => read(log, 0).length === 0)
    log.add(record('two'))
    const last = log.follow()
    log.add(record('three'))
    expect(read(log, 0)).to.deep.equal([[last + 1, 'three']])
  })
})
