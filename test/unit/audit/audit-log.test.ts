import { expect } from 'chai'
import { AuditLog, type AuditLogger } from '#main/audit/audit-log.js'
import type { AuditSink, Written } from '#main/audit/sink.js'
import { MOST_UNCONFIRMED_BYTES } from '#workers/observe/audit-trail.js'
import { AuditWindow } from '#workers/thread/audit-window.js'
import { Counters } from '#workers/thread/counters.js'
import { FAMILIES } from '#workers/thread/metric-families.js'
import { Cleanup } from '../../support/cleanup.js'
import { waitFor } from '../../support/waiting.js'

/** Takes what it is told to take. */
class MemorySink implements AuditSink {
  readonly lines: string[] = []
  takes = Infinity
  error: string | undefined
  hangs = false
  closed = false

  write(lines: readonly string[]): Promise<Written> {
    if (this.hangs) return new Promise(() => undefined)
    if (this.error !== undefined) return Promise.resolve({ lines: 0, error: this.error })
    const taken = lines.slice(0, this.takes)
    this.takes -= taken.length
    this.lines.push(...taken)
    return Promise.resolve({ lines: taken.length })
  }

  reopen(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

describe('the log of the audit', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  interface Started {
    sink: MemorySink
    audit: AuditLog
    said: string[]
    counters: Counters
    /** Of a thread. */
    window: AuditWindow
  }

  function start(): Started {
    const sink = new MemorySink()
    const said: string[] = []
    const logger: AuditLogger = {
      log: (kind, _source, message) => said.push(`${kind}: ${message}`),
      info: (_source, message) => said.push(`info: ${message}`)
    }
    const counters = new Counters()
    const window = new AuditWindow()
    const audit = new AuditLog(sink, 0, { version: '1', run: 'R' }, new Set([window]), logger, counters)
    cleanup.defer(() => audit.close())
    return { sink, audit, said, counters, window }
  }

  const counted = ({ words }: Counters): number[] => [words[FAMILIES.auditRecords.at]!, words[FAMILIES.auditDropped.at]!]

  it('writes what threads and the supervisor give it, in its order, and says how much it has done with', async () => {
    const { sink, audit, counters, window } = start()
    audit.take(['one', 'two'], window)
    audit.write('three')
    audit.take(['four'], window)
    await waitFor('the lines', () => sink.lines.length === 4)
    expect(sink.lines).to.deep.equal(['one', 'two', 'three', 'four'])
    await waitFor('the word', () => window.confirmed === 4 + 4 + 5)
    expect(counted(counters)).to.deep.equal([4, 0])
  })

  it('goes on where a sink has taken only some', async () => {
    const { sink, audit, window } = start()
    sink.takes = 3
    audit.take(['1', '2', '3', '4', '5'], window)
    await waitFor('some', () => sink.lines.length === 3)
    sink.takes = Infinity
    await waitFor('the rest', () => sink.lines.length === 5)
    expect(sink.lines).to.deep.equal(['1', '2', '3', '4', '5'])
  })

  it('tells threads that it cannot write, at once where it knows, and when it can again', async () => {
    const { sink, audit, said, window } = start()
    sink.error = 'No space left on device'
    audit.take(['1'], window)
    await waitFor('the failure', () => window.failing)
    expect(audit.failing, 'for those that come later').to.equal(true)
    expect(said).to.deep.equal(['audit-failing: records of the audit cannot be written: No space left on device'])
    sink.error = undefined
    await waitFor('the recovery', () => !window.failing)
    expect(sink.lines).to.deep.equal(['1'])
    expect(said[1]).to.equal('info: records of the audit are written again')
  })

  for (const [what, how] of [['takes nothing', { takes: 0 }], ['does not come back', { hangs: true }]] as const) {
    it(`counts a sink as failing that ${what}`, async () => {
      const { sink, audit, window } = start()
      Object.assign(sink, how)
      audit.take(['1'], window)
      await waitFor('the failure', () => window.failing)
    })
  }

  it('tells of what was lost, once, when there is room', async () => {
    const { sink, audit, counters, window } = start()
    sink.error = 'no'
    audit.take(['1'], window)
    for (let i = 0; i < 7; i++) window.drop()
    audit.take(['2'], window)
    await waitFor('the failure', () => window.failing)
    window.drop()
    sink.error = undefined
    const told = (): number[] =>
      sink.lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line) as { count: number }).map(({ count }) => count)
    await waitFor('all of it', () => told().reduce((sum, count) => sum + count, 0) === 8)
    await waitFor('the rest', () => sink.lines.includes('1') && sink.lines.includes('2'))
    const records = told().length
    expect(counted(counters)).to.deep.equal([2 + records, 8])
    window.drop()
    await waitFor('one more', () => told().length > records)
    expect(told().at(-1)).to.equal(1)
  })

  it('tries with that where it has nothing else to try with', async () => {
    const { sink, audit, window } = start()
    sink.error = 'no'
    for (let i = 0; i < 3; i++) window.drop()
    await waitFor('the failure', () => window.failing)
    sink.error = undefined
    await waitFor('the recovery', () => !window.failing)
    expect(sink.lines.map(line => (JSON.parse(line) as { count: number }).count)).to.deep.equal([3])
    audit.take(['next'], window)
    await waitFor('the next', () => sink.lines.includes('next'))
  })

  it('keeps no more of the supervisor than of a thread', async () => {
    const { sink, audit, counters } = start()
    sink.takes = 0
    const line = 'x'.repeat(1023)
    for (let i = 0; i < 1500; i++) audit.write(line)
    sink.takes = Infinity
    await waitFor('the word', () => sink.lines.at(-1)?.includes('6008'))
    expect(sink.lines).to.have.length(MOST_UNCONFIRMED_BYTES / 1024 + 1)
    expect(counted(counters)[1]).to.equal(1500 - MOST_UNCONFIRMED_BYTES / 1024)
  })

  it('writes what is left at its end, and says what it could not', async () => {
    const { sink, audit, said } = start()
    audit.write('1')
    await audit.close()
    expect(sink.lines).to.deep.equal(['1'])
    const other = start()
    other.sink.error = 'no'
    other.audit.write('1')
    await other.audit.close()
    expect(other.said.at(-1)).to.contain('1 records of the audit are lost: there was no time left to write them')
    expect(said).to.deep.equal([])
  })
})
