import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Sampler, type AskedThread } from '#main/page/sampler.js'
import { packFigures, type FiguredSession } from '#workers/thread/client-figures.js'

const session = (id: number, calls: number): FiguredSession => ({
  record: { id },
  flow: { calls: { size: 2, total: calls }, waiting: 3, oldest: 40 },
  client: { transport: { bytesIn: 10 * calls, bytesOut: 2 ** 40 + calls } }
})

/** A thread whose client makes ten calls between two questions. */
class Thread implements AskedThread {
  stuck = false
  asked = 0

  constructor(readonly id: number, readonly answers: 'at once' | 'never' | 'not' = 'at once') {}

  clientFigures(): Promise<Float64Array> {
    this.asked++
    if (this.answers === 'never') return new Promise(() => undefined)
    if (this.answers === 'not') return Promise.reject(new Error('it has ended'))
    return Promise.resolve(packFigures([session(this.id, 10 * this.asked)], 1, 100))
  }
}

describe('what threads tell of their clients', () => {
  it('comes of all that answer, and none waits for the others', async () => {
    const threads = [new Thread(1), new Thread(2, 'never'), new Thread(3, 'not'), new Thread(4)]
    threads[3]!.stuck = true
    const begin = performance.now()
    const sample = await new Sampler(() => threads).sample()
    expect(performance.now() - begin).to.be.at.least(400)
    expect(sample.activity(1)).to.deep.equal({
      calls: 10, inFlight: 2, waiting: 3, oldestMs: 60, bytesIn: 100, bytesOut: 2 ** 40 + 10, perSecond: undefined
    })
    for (const id of [2, 3, 4]) expect(sample.activity(id)).to.equal(undefined)
    expect(threads[3]!.asked).to.equal(0)
  })

  it('is asked for once a second, for all who look, and has rates from the second time on', async () => {
    const thread = new Thread(1)
    const sampler = new Sampler(() => [thread])
    await Promise.all([sampler.sample(), sampler.sample(), sampler.sample()])
    await sampler.sample()
    expect(thread.asked).to.equal(1)
    await sleep(950)
    const sample = await sampler.sample()
    expect(thread.asked).to.equal(2)
    const { calls, in: bytesIn, out } = sample.activity(1)!.perSecond!
    expect(calls).to.be.within(3, 10.6)
    expect(bytesIn).to.be.closeTo(10 * calls, 0.01)
    expect(out).to.be.closeTo(calls, 0.01)
  })
})
