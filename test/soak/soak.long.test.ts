import { Cleanup } from '../support/cleanup.js'
import { soak } from './soak.js'

const SECONDS = 25
const seed = Date.now() & 0x7fffffff

describe('a broker whose clients, daemons and threads die all the time', function () {
  this.timeout(1000 * (SECONDS + 90))
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it(`loses, leaks and forgets nothing (npm run soak -- --seed ${seed})`, async () => {
    await soak(cleanup, SECONDS, seed)
  })
})
