import { expect } from 'chai'
import { HangWatch, type Watched } from '#main/threads/hang-watch.js'

interface Thread extends Watched {
  pulse: { thread: number; beats: number }
}

describe('the watch over threads', () => {
  const thread = (): Thread => ({ pulse: { thread: 7, beats: 1 } })
  /** Looks so often, with the pulses that `before` sees to. Returns the numbers of the looks that found something. */
  const looks = (watch: HangWatch<Thread>, threads: Thread[], count: number, before = (_look: number): void => {}): number[] =>
    Array.from({ length: count }, (_, index) => index).filter(look => {
      before(look)
      return watch.look(threads).length > 0
    })

  it('finds one that hangs, once, and no other', () => {
    const watch = new HangWatch<Thread>()
    const [hangs, lives] = [thread(), thread()]
    expect(looks(watch, [hangs, lives], 15, () => lives.pulse.beats++)).to.deep.equal([10])
    expect(watch.isStuck(hangs)).to.equal(true)
    expect(watch.isStuck(lives)).to.equal(false)
  })

  it('leaves alone what is slow', () => {
    const watch = new HangWatch<Thread>()
    const slow = thread()
    expect(looks(watch, [slow], 60, look => { if (look % 9 === 0) slow.pulse.beats++ })).to.deep.equal([])
    expect(watch.helpless).to.equal(false)
  })

  it('tells when one that was to be ended is still there', () => {
    const watch = new HangWatch<Thread>()
    const hangs = thread()
    looks(watch, [hangs], 20)
    expect(watch.helpless).to.equal(false)
    looks(watch, [hangs], 1)
    expect(watch.helpless).to.equal(true)
    looks(watch, [thread()], 1)
    expect(watch.helpless).to.equal(false)
  })

  it('gives one that has not begun more time, and does not end it', () => {
    const watch = new HangWatch<Thread>()
    const begins: Thread = { pulse: { thread: 0, beats: 0 } }
    expect(looks(watch, [begins], 60)).to.deep.equal([])
    expect(watch.helpless).to.equal(false)
    looks(watch, [begins], 1)
    expect(watch.helpless).to.equal(true)
  })
})
