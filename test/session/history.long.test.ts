import { expect } from 'chai'
import { HistoryCrowd } from '../support/history-crowd.js'
import { Random } from '../support/random.js'
import { eachTrial, type SharedTrial } from '../support/shared-trial.js'

/** `VIRTBROKER_TEST_OPERATIONS=1000000` is the million. */
const operations = Number(process.env['VIRTBROKER_TEST_OPERATIONS'] ?? 100_000)
const seed = Number(process.env['VIRTBROKER_TEST_SEED'] ?? Math.floor(Math.random() * 0x7fffffff))

describe(`what clients read on shared connections in ${operations} operations (seed ${seed})`, function () {
  this.timeout(600_000)
  let trial: SharedTrial
  eachTrial(made => (trial = made))

  for (const collapseReads of [true, false]) {
    it(`is never old, with collapse_reads ${collapseReads ? 'on' : 'off'}`, async () => {
      Object.assign(trial.settings, { collapseReads })
      const { joined } = await new HistoryCrowd(trial, new Random(seed)).work(operations)
      if (collapseReads) expect(joined).to.be.above(operations / 10)
      else expect(joined).to.equal(0)
    })
  }
})
