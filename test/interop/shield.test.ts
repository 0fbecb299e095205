import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { PROGRAM } from '#protocol/header.js'
import { lookup, REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { COUNTED_CALLS, said } from '../support/counted-calls.js'
import { RawClient } from '../support/raw-client.js'
import { startReferenceDriver } from '../support/reference-driver.js'

/** Whose bounds are in no release, or in later ones only. */
const OURS: readonly number[] = [REMOTE.nodeGetFreePages, REMOTE.nodeAllocPages]

describe('the shield, next to a libvirtd that checks counts itself', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('refuses in the same words', async () => {
    const client = await RawClient.connect(cleanup, await startReferenceDriver(cleanup))
    await client.open('test:///default')
    const compared = COUNTED_CALLS.filter(({ proc, says }) =>
      says !== undefined && !OURS.includes(proc) && says !== 'internal error: maplen > REMOTE_CPUMAPS_MAX'
    )
    expect(compared).to.have.length.above(90)
    for (const { proc, body, says } of compared) {
      const { status, payload } = await client.call(proc, body)
      const name = `${lookup(PROGRAM.remote, proc)!.name} ${body.toString('hex').slice(-32)}`
      expect(said(status, payload, () => decodeError(payload).message), name).to.equal(says)
    }
  })
})
