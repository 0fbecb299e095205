import { expect } from 'chai'
import { TurnQueue } from '#workers/base/turn-queue.js'

/** Keeps the thread for so long. */
function work(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('a queue of work in turns', () => {
  it('does one long piece in a turn, and the others in the following ones, in their order', async () => {
    const queue = new TurnQueue()
    const done: number[] = []
    for (let i = 0; i < 4; i++) queue.add({ step: () => (work(3), void done.push(i)) })
    const after: number[] = []
    while (done.length < 4) {
      await turn()
      after.push(done.length)
    }
    expect(after).to.deep.equal([1, 2, 3, 4])
    expect(done).to.deep.equal([0, 1, 2, 3])
  })

  it('does many short ones in a turn, but not for longer than a piece of it', async () => {
    const queue = new TurnQueue()
    let done = 0
    for (let i = 0; i < 20_000; i++) queue.add({ step: () => (work(0.005), void done++) })
    await turn()
    expect(done).to.be.within(2, 1000)
    while (done < 20_000) await turn()
  })

  it('does what is added while it works in a later turn', async () => {
    const queue = new TurnQueue()
    let steps = 0
    const again = { step: () => (work(3), void (++steps < 3 && queue.add(again))) }
    queue.add(again)
    await turn()
    expect(steps).to.equal(1)
    while (steps < 3) await turn()
  })
})
