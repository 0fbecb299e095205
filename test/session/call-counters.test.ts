import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { ProcedureSums } from '#main/metrics/procedure-figures.js'
import { PoolUnderTest } from '../support/actor-pool.js'
import { Cleanup } from '../support/cleanup.js'
import { waitFor } from '../support/waiting.js'

describe('calls that are counted', function () {
  this.timeout(30_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('stay counted when the thread that counted them has died, and those of its successor come on top', async () => {
    const under = await PoolUnderTest.start(cleanup, { threads: 1, metering: true })
    const { pool } = under
    const call = async (times: number): Promise<void> => {
      const client = await under.client()
      for (let i = 0; i < times; i++) expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    }

    await call(2)
    const [first] = pool.threads
    under.kill(0)
    await waitFor('its successor', () => pool.threads.length === 1 && pool.threads[0] !== first)
    await pool.started()
    await call(3)
    expect(under.deaths).to.deep.equal(['a test wants it'])
    const figures = new ProcedureSums().sum(pool.counters.map(({ words }) => words))
    expect(figures).to.have.length(1)
    expect(figures[0]).to.deep.include({ program: 'remote', procedure: 'AUTH_LIST', driver: 'none', outcomes: [5, 0, 0, 0, 0] })
  })
})
