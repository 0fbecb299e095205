import { expect } from 'chai'
import { TurnClock } from '#workers/base/turn-clock.js'

/** Until the clock itself has gone on. */
function later(): number {
  const begin = performance.now()
  let now = begin
  while (now < begin + 0.05) now = performance.now()
  return now
}

describe('the time for calls', () => {
  it('is read anew each time, but in a poll', () => {
    const clock = new TurnClock()
    const before = clock.now
    const between = later()
    expect(before).to.be.below(between)
    expect(clock.now).to.be.at.least(between)
  })

  it('is the same for a few calls that are ready in one poll', () => {
    const clock = new TurnClock()
    clock.begin()
    const first = clock.now
    for (let i = 0; i < 7; i++) {
      later()
      expect(clock.now).to.equal(first)
    }
    expect(clock.now).to.be.above(first)
    const last = clock.now
    const between = later()
    clock.begin()
    expect(clock.now).to.be.at.least(between).and.above(last)
    clock.end()
    const after = later()
    expect(clock.now).to.be.at.least(after)
  })
})
