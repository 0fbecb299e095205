import { expect } from 'chai'
import { PLAIN_KINDS } from '#protocol/call-kinds.js'
import { decodeError, internalError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { lookup, REMOTE } from '#protocol/procedures.js'
import { SHIELD } from '#workers/policy/shield.js'
import { Cleanup } from '../support/cleanup.js'
import { COUNTED_CALLS, type CountedCall, said } from '../support/counted-calls.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const described = ({ proc, body }: CountedCall): string => `${lookup(PROGRAM.remote, proc)!.name} ${body.toString('hex').slice(-64)}`

describe('the shield', () => {
  const cleanup = new Cleanup()
  let stage: Stage

  before(async () => { stage = await Stage.start(cleanup) })
  after(() => cleanup.run())

  async function answer(client: RawClient, { proc, body }: CountedCall): Promise<string> {
    const { status, payload } = await client.call(proc, body)
    return said(status, payload, () => decodeError(payload).message)
  }

  it('has a frame in this test for each procedure, within the bounds and beyond them', () => {
    const tried = (refused: boolean): number[] =>
      [...new Set(COUNTED_CALLS.filter(({ says }) => (says !== undefined) === refused).map(({ proc }) => proc))]
    expect(tried(true)).to.have.members(SHIELD.map(([proc]) => proc))
    expect(tried(false)).to.have.members(SHIELD.map(([proc]) => proc))
  })

  it('is about calls that are simply passed on else', () => {
    for (const [proc] of SHIELD) expect(PLAIN_KINDS.remote[proc], String(proc)).to.equal(0)
  })

  it('keeps counts beyond their bounds from the driver daemon, and lets others pass', async () => {
    const { client, daemon } = await stage.open()
    for (const call of COUNTED_CALLS) {
      const before = daemon.serialsOf(call.proc).length
      expect(await answer(client, call), described(call)).to.equal(call.says ?? 'passed')
      const came = daemon.serialsOf(call.proc).length - before
      expect(came, described(call)).to.equal(call.says === undefined ? 1 : 0)
    }
  })

  it('answers in the form of libvirt', async () => {
    const { client } = await stage.open()
    const { payload } = await client.call(REMOTE.nodeGetMemoryStats, Buffer.from('ffffffff0000000000000000', 'hex'))
    expect(decodeError(payload)).to.deep.equal(internalError('nparams must be non-negative'))
  })

  it('says that arguments which end before the count do not decode', async () => {
    const { client, daemon } = await stage.open()
    for (const proc of SHIELD.map(([number]) => number)) {
      const { status, payload } = await client.call(proc, Buffer.alloc(3))
      expect(status).to.equal(STATUS.error)
      expect(decodeError(payload).message).to.equal('Unable to decode message payload')
    }
    const long = await client.call(REMOTE.domainGetVcpus, Buffer.alloc(100_000))
    expect(decodeError(long.payload).message).to.equal('Unable to decode message payload')
    expect(daemon.serialsOf(REMOTE.domainGetVcpus)).to.be.empty
  })

  it('is there on read-only connections', async () => {
    await stage.addDriver('virtqemud-sock-ro')
    const client = await stage.connect(stage.broker.roSocket)
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    const beyond = COUNTED_CALLS.filter(({ proc, says }) => says !== undefined && proc !== REMOTE.nodeAllocPages)
    for (const call of beyond) expect(await answer(client, call), described(call)).to.equal(call.says)
  })

  it('is not there if the configuration says so', async () => {
    const own = await Stage.start(cleanup, { shield: 0 })
    const { client } = await own.open()
    for (const call of COUNTED_CALLS.filter(({ says }) => says !== undefined)) {
      const { status, payload } = await client.call(call.proc, call.body)
      expect([status, payload.equals(call.body)], described(call)).to.deep.equal([STATUS.ok, true])
    }
  })
})
