import { Cleanup } from '../support/cleanup.js'
import { attackAdminSocket } from './admin-campaign.js'

/** Each test run takes another course; the seed in the test's name repeats it. */
const FRAMES = 5000
const seed = Date.now() & 0x7fffffff

describe('the admin socket stands', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it(`mutated calls (npm run fuzz -- --only admin --frames ${FRAMES} --seed ${seed})`, async () => {
    await attackAdminSocket(cleanup, { seed, enough: frames => frames >= FRAMES })
  })
})
