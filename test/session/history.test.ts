import { expect } from 'chai'
import { DISPOSITION } from '#protocol/frame-reader.js'
import { frameSerial } from '#protocol/header.js'
import { GatheredCalls } from '#workers/driver/gathered-calls.js'
import { SharedConnection } from '#workers/driver/shared-connection.js'
import { HistoryCrowd } from '../support/history-crowd.js'
import { GET_METADATA, Metadata } from '../support/metadata.js'
import { Random } from '../support/random.js'
import { eachTrial, type SharedTrial } from '../support/shared-trial.js'

const SEED = 24
const OPERATIONS = 10_000
/** As many reads before. */
const LONG = 40

/** Now and then a read brings what some read long before it brought. */
class ForgetfulMetadata extends Metadata {
  readonly #random = new Random(SEED)
  readonly #brought = new Map<string, Buffer[]>()

  override execute(proc: number, args: Buffer): Buffer {
    const result = super.execute(proc, args)
    if (proc !== GET_METADATA) return result
    const key = args.toString('latin1')
    const brought = this.#brought.get(key) ?? []
    this.#brought.set(key, brought)
    brought.push(result)
    return brought.length > LONG && this.#random.chance(0.05) ? brought.at(-LONG)! : result
  }
}

/** Until it is answered a call can be joined, though the daemon has it. Returns what undoes that. */
function joinWhatIsSent(): () => void {
  const [gathered, shared] = [GatheredCalls.prototype, SharedConnection.prototype]
  const offer = Reflect.get(gathered, 'offer')
  const offered = Reflect.get(gathered, 'offered')
  const replied = Reflect.get(shared, 'replied')
  const known = new Map<GatheredCalls, Map<string, number>>()
  gathered.offer = function (this: GatheredCalls, question, serial) {
    if (!known.has(this)) known.set(this, new Map())
    known.get(this)!.set(question, serial)
    offer.call(this, question, serial)
  }
  gathered.offered = function (this: GatheredCalls, question) {
    return offered.call(this, question) ?? known.get(this)?.get(question)
  }
  shared.replied = function (this: SharedConnection, bytes, at, here) {
    const serial = frameSerial(bytes, at)
    const disposition = replied.call(this, bytes, at, here)
    if (disposition === DISPOSITION.collect) return disposition
    for (const calls of known.values()) for (const [question, given] of calls) if (given === serial) calls.delete(question)
    return disposition
  }
  return () => {
    Object.assign(gathered, { offer, offered })
    Object.assign(shared, { replied })
  }
}

async function failure(crowd: HistoryCrowd): Promise<string> {
  const error = await crowd.work(OPERATIONS).catch((wrong: unknown) => wrong)
  expect(error).to.be.instanceOf(Error)
  return (error as Error).message
}

describe('what clients read on shared connections, with collapse_reads', () => {
  let trial: SharedTrial
  eachTrial(made => {
    trial = made
    Object.assign(trial.settings, { collapseReads: true })
  })

  it('is never older than a write, or another read, that was over before', async () => {
    const { joined, deaths } = await new HistoryCrowd(trial, new Random(SEED)).work(OPERATIONS)
    expect(joined).to.be.above(OPERATIONS / 10)
    expect(deaths).to.be.above(0)
  })

  it('would be, and be found, if the daemon forgot', async () => {
    expect(await failure(new HistoryCrowd(trial, new Random(SEED), new ForgetfulMetadata()))).to.match(/was there before it began/)
  })

  it('would be, and be found, if calls joined what has been sent', async () => {
    const undo = joinWhatIsSent()
    try {
      expect(await failure(new HistoryCrowd(trial, new Random(SEED)))).to.match(/was there before it began/)
    } finally {
      undo()
    }
  })
})
