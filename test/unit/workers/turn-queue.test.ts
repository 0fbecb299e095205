import { expect } from 'chai'
import { TurnQueue } from '#workers/base/turn-queue.js'

/** Keeps the thread for so long. */
function work(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
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

  it('does work that pauses piece by piece, side by side with other such work, and gives what comes of it', async () => {
    const queue = new TurnQueue()
    const done: string[] = []
    function* pieces(name: string, count: number): Generator<void, string> {
      for (let i = 1; i <= count; i++) {
        done.push(`${name}${i}`)
        yield
      }
      return name
    }
    const { signal } = new AbortController()
    const results = [queue.run(pieces('a', 2), signal), queue.run(pieces('b', 3), signal)]
    expect(await Promise.all(results)).to.deep.equal(['a', 'b'])
    expect(done).to.deep.equal(['a1', 'b1', 'a2', 'b2', 'b3'])
  })

  it('leaves off work that throws, and work that nobody wants any more', async () => {
    const queue = new TurnQueue()
    const failure = new Error('no')
    let steps = 0
    function* failing(): Generator<void> {
      yield
      throw failure
    }
    function* endless(): Generator<void> {
      for (;;) yield void steps++
    }
    const leaving = new AbortController()
    const unwanted = queue.run(endless(), leaving.signal)
    expect(await queue.run(failing(), leaving.signal).catch((error: unknown) => error)).to.equal(failure)
    leaving.abort(failure)
    expect(await unwanted.catch((error: unknown) => error)).to.equal(failure)
    const before = steps
    await turn()
    expect([before > 0, steps - before]).to.deep.equal([true, 0])
  })
})
