import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { PoolUnderTest } from '../support/actor-pool.js'
import { Cleanup } from '../support/cleanup.js'
import { waitFor } from '../support/waiting.js'

/** So many take a thread some seconds to read. */
const RULES = 500_000

describe('a client that comes while a thread ends', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is given to the successor of the only other one, that has just died', async () => {
    const under = await PoolUnderTest.start(cleanup, { threads: 2 })
    const { pool, settings } = under
    const [other, ending] = pool.threads
    // A thread that dies as soon as it has begun is not replaced at once.
    await waitFor('the other to be of age', () => other!.ageMs > 1000)
    // It does not come to its end as long as it has something to do. On a busy machine it may be ended for that: nobody waits.
    void ending!.control.apply({ ...settings, policy: Array<string>(RULES).fill('* => deny DOMAIN_*') })
    pool.bounds = { min: 1, max: 1 }
    expect([ending!.leaving, ending!.ending]).to.deep.equal([true, true])
    under.kill(0)
    await waitFor('the death', () => under.deaths.length > 0)
    expect([pool.threads.includes(ending!), pool.threads.includes(other!)]).to.deep.equal([true, false])
    const client = await under.client()
    await waitFor('the end', () => !pool.threads.includes(ending!))
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    expect(client.closed).to.equal(false)
  })
})
