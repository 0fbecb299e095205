import { expect } from 'chai'
import { encodeError, rpcError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Traces } from '#workers/actor/traces.js'
import { Clock } from '#workers/base/clock.js'
import type { TraceReport } from '#workers/thread/trace-report.js'
import { Cleanup } from '../support/cleanup.js'
import { MemorySession } from '../support/memory-session.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetInfo
const [ME, OTHER] = [1, 2]

describe('the trace of a client', () => {
  const cleanup = new Cleanup()
  let clock: Clock
  let trial: MemorySession
  let traces: Traces
  beforeEach(async () => {
    clock = new Clock(() => undefined)
    cleanup.defer(() => Promise.resolve(clock.stop()))
    trial = new MemorySession(clock, 'own')
    await trial.open()
    traces = new Traces(clock, () => undefined)
  })
  afterEach(() => cleanup.run())

  function report(by = ME): TraceReport {
    const answer = traces.report(1, by, trial.session)
    if (answer === undefined || 'refused' in answer) throw new Error(`no report: ${answer?.refused}`)
    return answer
  }

  const answerAll = (...rest: Parameters<MemorySession['port']['reply']> extends [unknown, ...infer Rest] ? Rest : never): void => {
    for (const call of trial.port.take()) trial.port.reply(call, ...rest)
  }

  it('tells of each call since it was asked last, however it ended', () => {
    expect(report()).to.deep.equal(
      { began: true, calls: [], dropped: 0, inFlight: [], allInFlight: 0, waiting: 0, over: undefined }
    )
    const before = Date.now()
    trial.call(CALL)
    expect(report().inFlight).to.have.length(1)
    answerAll()
    trial.call(CALL)
    answerAll(encodeError(rpcError('no')), { status: STATUS.error })
    trial.call(REMOTE.connectGetUri)
    trial.call(REMOTE.authSaslStep)
    trial.call(CALL)
    trial.port.lose()
    const { began, calls } = report()
    expect(began).to.equal(false)
    expect(calls.map(({ prog, proc, outcome, code }) => [prog, proc, outcome, code])).to.deep.equal([
      [PROGRAM.remote, CALL, 'ok', undefined],
      [PROGRAM.remote, CALL, 'error', rpcError('').code],
      [PROGRAM.remote, REMOTE.connectGetUri, 'ok', undefined],
      [PROGRAM.remote, REMOTE.authSaslStep, 'refused', calls[3]!.code],
      [PROGRAM.remote, CALL, 'lost', undefined]
    ])
    expect(calls[0]!.at).to.be.within(before, Date.now())
    expect(calls[0]!.driverUs).to.be.above(0)
    expect(calls[2]).not.to.have.property('driverUs')
    expect(calls[3]!.message).to.be.a('string').with.length.within(1, 200)
    expect(report().calls).to.deep.equal([])
  })

  it('keeps no more than the last 1,024 calls, and says how many others there were', () => {
    report()
    for (let i = 0; i < 5000; i++) {
      trial.call(i < 4999 ? CALL : REMOTE.domainSave)
      answerAll()
    }
    const { calls, dropped } = report()
    expect([calls.length, dropped]).to.deep.equal([1024, 5000 - 1024])
    expect(calls.at(-1)!.proc).to.equal(REMOTE.domainSave)
    expect(report()).to.deep.include({ calls: [], dropped: 0 })
  })

  it('is for one at a time, and of no more than 16 clients of a thread', () => {
    report()
    expect(traces.report(1, OTHER, trial.session)).to.deep.equal({ refused: 'client 1 is traced by somebody else' })
    for (let id = 2; id <= 16; id++) expect(traces.report(id, ME, trial.session)).to.have.property('calls')
    expect(traces.report(17, ME, trial.session)).to.deep.equal({ refused: '16 clients of its thread are traced already' })
    expect(traces.report(18, ME, undefined)).to.equal(undefined)
    expect(traces.size).to.equal(16)
    traces.close()
    expect(traces.size).to.equal(0)
  })

  it('tells of the last calls of a client that has gone, and why it went', () => {
    report()
    trial.call(CALL)
    trial.session.close('gone', 'debug')
    traces.ended(1, 'gone')
    const answer = traces.report(1, ME, undefined) as TraceReport
    expect(answer.calls).to.have.length(1)
    expect(answer).to.include({ over: 'gone', allInFlight: 0 })
    expect(traces.report(1, ME, undefined)).to.equal(undefined)
    expect(traces.size).to.equal(0)
  })

  it('ends when nobody asks, and then costs nothing', async () => {
    const short = new Traces(clock, () => undefined, 100)
    short.report(1, ME, trial.session)
    await waitFor('its end', () => short.size === 0)
    trial.call(CALL)
    expect(trial.session.flow.calls.givenAt(0)).to.equal(0)
    expect(short.report(1, OTHER, trial.session)).to.include({ began: true })
    short.close()
  })
})
