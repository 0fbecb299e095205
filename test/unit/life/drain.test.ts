import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import { drain, type Drainable } from '#main/life/drain.js'
import { waitFor } from '../../support/waiting.js'

class PlayedBroker implements Drainable {
  readonly done: string[] = []
  isEmpty: () => void = () => undefined

  takeNoMore(): void {
    this.done.push('take no more')
  }

  seeOff(ms: number): void {
    this.done.push(`see off within ${ms} ms`)
  }

  empty(): Promise<void> {
    return new Promise(resolve => (this.isEmpty = resolve))
  }
}

describe('the draining of the broker', () => {
  const NEVER = new AbortController().signal
  let broker: PlayedBroker
  let over: boolean
  beforeEach(() => {
    broker = new PlayedBroker()
    over = false
  })

  const begin = (delayMs: number, timeoutMs: number, givenUp = NEVER): void =>
    void drain(broker, { delayMs, timeoutMs }, givenUp).then(() => (over = true))

  it('takes no more clients at once, and is over when the last has gone', async () => {
    begin(0, 60_000)
    expect(broker.done).to.deep.equal(['take no more', 'see off within 60000 ms'])
    await turn()
    expect(over).to.equal(false)
    broker.isEmpty()
    await turn()
    expect(over).to.equal(true)
  })

  it('takes clients until the delay is over', async () => {
    begin(50, 60_000)
    expect(broker.done).to.deep.equal([])
    await waitFor('the time', () => broker.done.length === 2)
    expect(over).to.equal(false)
    broker.isEmpty()
  })

  it('is over soon after the time that clients have', async () => {
    begin(0, 20)
    await waitFor('the end', () => over)
  })

  it('is over when it is given up, during the delay or later', async () => {
    for (const delay of [60_000, 0]) {
      over = false
      const givenUp = new AbortController()
      begin(delay, 60_000, givenUp.signal)
      givenUp.abort()
      await waitFor('the end', () => over)
    }
    // The second time only.
    expect(broker.done).to.have.length(2)
  })
})
