import { expect } from 'chai'
import { Keeper, type Kept } from '#main/threads/keeper.js'
import { ThreadSlots, type Leavable } from '#main/threads/thread-slots.js'
import { waitFor } from '../../support/waiting.js'

/** A thread that ends when it is asked to. */
class PlayedThread implements Leavable {
  leaving = false
  clients = 0
  die!: (why: string) => void
  readonly ended = new Promise<string>(resolve => (this.die = resolve))

  end(): void {
    this.die('as it was told')
  }

  kill(): void {}
}

describe('places for threads', () => {
  /** Started, and all threads that ever were. */
  function started(count: number, pause = 0): { slots: ThreadSlots<PlayedThread>; threads: PlayedThread[]; living: () => number } {
    const threads: PlayedThread[] = []
    const gone = new Set<PlayedThread>()
    const kept: Kept<PlayedThread> = {
      patience: 1000,
      start() {
        const thread = new PlayedThread()
        void thread.ended.then(() => gone.add(thread))
        threads.push(thread)
        return thread
      },
      pause: () => pause,
      died: () => slots.settle()
    }
    const slots = new ThreadSlots(count, () => new Keeper(kept))
    slots.start()
    return { slots, threads, living: () => threads.length - gone.size }
  }

  it('are all taken at first', () => {
    const { slots, threads } = started(3)
    expect(threads).to.have.length(3)
    expect(slots.bounds).to.deep.equal({ min: 3, max: 3 })
  })

  it('become free at once where nobody is served', async () => {
    const { slots, living } = started(3)
    slots.resize({ min: 1, max: 2 })
    await waitFor('one to leave', () => living() === 2)
    slots.resize({ min: 1, max: 1 })
    await waitFor('another to leave', () => living() === 1)
  })

  it('become free where a thread is to be replaced before others do', async () => {
    const { slots, threads, living } = started(2, 60_000)
    threads[0]!.die('by itself')
    await waitFor('its end', () => living() === 1)
    slots.resize({ min: 1, max: 1 })
    expect(threads[1]!.leaving).to.equal(false)
    expect(await slots.stop()).to.deep.equal([true, true])
  })

  it('become free when the last client has gone', async () => {
    const { slots, threads, living } = started(2)
    threads[1]!.clients = 1
    slots.resize({ min: 1, max: 1 })
    slots.settle()
    expect(threads.map(({ leaving }) => leaving)).to.deep.equal([false, true])
    threads[1]!.clients = 0
    slots.settle()
    await waitFor('it to leave', () => living() === 1)
  })

  it('are left as they are between the bounds', () => {
    const { slots, threads } = started(3)
    slots.resize({ min: 1, max: 3 })
    expect(threads.map(({ leaving }) => leaving)).to.deep.equal([false, false, false])
  })

  it('are taken again when more are wanted: first by those that have not left yet', async () => {
    const { slots, threads, living } = started(3)
    threads[1]!.clients = 1
    slots.resize({ min: 1, max: 1 })
    await waitFor('one to leave', () => living() === 2)
    slots.resize({ min: 3, max: 3 })
    expect(threads.map(({ leaving }) => leaving)).to.deep.equal([false, false, true, false])
    expect(living()).to.equal(3)
    expect(await slots.stop()).to.deep.equal([true, true, true])
  })

  it('stay free when a thread dies that was to leave', async () => {
    const { slots, threads, living } = started(2)
    threads[1]!.clients = 1
    slots.resize({ min: 1, max: 1 })
    threads[1]!.die('by itself')
    await waitFor('its end', () => living() === 1)
    threads[0]!.die('by itself')
    await waitFor('another in its place', () => living() === 1 && threads.length >= 3)
    expect(threads.at(-1)!.leaving).to.equal(false)
  })
})
