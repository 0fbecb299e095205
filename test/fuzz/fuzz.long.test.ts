import { Cleanup } from '../support/cleanup.js'
import { after } from './campaign.js'
import { attackAdminSocket } from './admin-campaign.js'
import { attackWithClients } from './client-campaign.js'
import { attackWithDaemon } from './driver-campaign.js'
import { attackAsGuests, attackAsReaders, callInACrowd } from './guest-campaign.js'
import { attackInTime } from './time-campaign.js'

/** Each test run takes another course; the seed in the test's name repeats it. */
const SECONDS = 15
const SECONDS_AS_GUESTS = 5
const ADMIN_FRAMES = 100_000
const seed = Date.now() & 0x7fffffff

describe('the broker stands', function () {
  this.timeout(1000 * (SECONDS + 60))
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it(`hostile clients (npm run fuzz -- --only clients --seed ${seed})`, async () => {
    await attackWithClients(cleanup, { seed, enough: after(SECONDS) })
  })

  for (const driver_sharing of ['identity', 'off']) {
    it(`a hostile driver daemon (VIRTBROKER_TEST_SHARING=${driver_sharing} npm run fuzz -- --only daemon --seed ${seed})`, async () => {
      await attackWithDaemon(cleanup, { seed, enough: after(SECONDS / 2) }, { driver_sharing })
    })
  }

  it(`hostile guests of shared driver connections (npm run fuzz -- --only guests --seed ${seed})`, async () => {
    await attackAsGuests(cleanup, { seed, enough: after(SECONDS_AS_GUESTS) })
  })

  it(`hostile guests where identical reads become one (npm run fuzz -- --only readers --seed ${seed})`, async () => {
    await attackAsReaders(cleanup, { seed, enough: after(SECONDS_AS_GUESTS) })
  })

  it(`many calls of many guests (npm run fuzz -- --only calls --seed ${seed})`, async () => {
    await callInACrowd(cleanup, { seed, enough: after(SECONDS_AS_GUESTS) })
  })

  it(`mutated calls on its admin socket (npm run fuzz -- --only admin --frames ${ADMIN_FRAMES} --seed ${seed})`, async () => {
    await attackAdminSocket(cleanup, { seed, enough: frames => frames >= ADMIN_FRAMES })
  })

  it('what takes most time, beside a client that makes a call now and then (npm run fuzz -- --only time)', async () => {
    await attackInTime(cleanup, { seconds: 1 })
  })
})
