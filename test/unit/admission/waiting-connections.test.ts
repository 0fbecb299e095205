import { expect } from 'chai'
import { WaitingConnections, type Waiting } from '#main/clients/waiting-connections.js'

interface Named extends Waiting {
  name: string
}

describe('connections that wait for a place', () => {
  let waiting: WaitingConnections<Named>
  const known = new Map<string, Named>()
  /** `a 1` is of owner `a`. */
  const come = (since: number, ...names: string[]): void => {
    for (const name of names) {
      const one = { name, owner: name.split(' ')[0]!, since }
      known.set(name, one)
      waiting.add(one)
    }
  }
  const speak = (now: number, ...names: string[]): void => names.forEach(name => waiting.speaks(known.get(name)!, now))
  const order = (held: Record<string, number> = {}, now = 100_000): string[] => {
    const names: string[] = []
    for (let next = waiting.next(owner => held[owner] ?? 0, now); next !== undefined;) {
      names.push(next.name)
      held[next.owner] = (held[next.owner] ?? 0) + 1
      waiting.serve(next.owner, now++)
      waiting.remove(next)
      next = waiting.next(owner => held[owner] ?? 0, now)
    }
    return names
  }
  beforeEach(() => {
    waiting = new WaitingConnections()
    known.clear()
  })

  it('come in the order in which they came, if all are of one owner and new', () => {
    come(1, 'a 1', 'a 2')
    come(2, 'a 3')
    speak(3, 'a 2')
    expect(order({}, 900)).to.deep.equal(['a 1', 'a 2', 'a 3'])
    expect(waiting.size).to.equal(0)
  })

  it('come after those that have something to say when they have been silent for a second', () => {
    come(1, 'a 1', 'a 2', 'b 1')
    speak(2, 'b 1', 'a 2')
    expect(order({}, 1002)).to.deep.equal(['a 2', 'b 1', 'a 1'])
  })

  it('come of each owner in turn, and first of who has fewest places', () => {
    come(1, 'a 1', 'a 2', 'a 3', 'b 1', 'b 2', 'c 1')
    speak(2, 'a 1', 'a 2', 'a 3', 'b 1', 'b 2', 'c 1')
    expect(order({ a: 0, b: 0, c: 1 })).to.deep.equal(['a 1', 'b 1', 'c 1', 'a 2', 'b 2', 'a 3'])
  })

  it('come in turn even if no places are held', () => {
    come(1, 'a 1', 'a 2', 'a 3')
    come(2, 'b 1')
    speak(3, 'a 1', 'a 2', 'a 3', 'b 1')
    const names: string[] = []
    for (let now = 2000; waiting.size > 0; now++) {
      const next = waiting.next(() => 0, now)!
      names.push(next.name)
      waiting.serve(next.owner, now)
      waiting.remove(next)
    }
    expect(names).to.deep.equal(['a 1', 'b 1', 'a 2', 'a 3'])
  })

  it('are in need when their owner was given no place for a second, and they have something to say', () => {
    come(0, 'a 1', 'a 2', 'b 1', 'c 1')
    speak(100, 'a 1', 'a 2')
    speak(500, 'b 1')
    expect(waiting.inNeed(1000)).to.deep.equal([])
    expect(waiting.inNeed(1100)).to.deep.equal([{ owner: 'a', waitedMs: 1000 }])
    expect(waiting.inNeed(1600)).to.deep.equal([{ owner: 'a', waitedMs: 1500 }, { owner: 'b', waitedMs: 1100 }])
    waiting.serve('a', 1600)
    waiting.remove(known.get('a 1')!)
    expect(waiting.inNeed(1700).map(({ owner }) => owner)).to.deep.equal(['b'])
    expect(waiting.firstOf('a')?.name).to.equal('a 2')
    expect(waiting.firstOf('c'), 'who says nothing').to.equal(undefined)
  })

  it('are dispensable if they came a while ago and say nothing, of the owner that has most', () => {
    come(10, 'a 1', 'a 2', 'b 1', 'b 2', 'b 3')
    speak(20, 'b 1')
    expect(waiting.dispensable(10)).to.equal(undefined)
    expect(waiting.dispensable(11)?.name).to.equal('b 2')
    speak(20, 'b 2', 'b 3')
    expect(waiting.dispensable(11)?.name).to.equal('a 1')
    speak(20, 'a 1', 'a 2')
    expect(waiting.dispensable(11)).to.equal(undefined)
    expect(waiting.longestSilent).to.equal(undefined)
  })

  it('make way for one more by the newest of the owner that has most, but not for one of its own', () => {
    come(1, 'a 1', 'a 2', 'a 3', 'b 1')
    speak(2, 'a 1', 'a 2')
    expect(waiting.oneTooMany('c')?.name).to.equal('a 3')
    expect(waiting.oneTooMany('b')?.name).to.equal('a 3')
    expect(waiting.oneTooMany('a')).to.equal(undefined)
    waiting.remove(known.get('a 3')!)
    expect(waiting.oneTooMany('c')?.name).to.equal('a 2')
    expect(waiting.oneTooMany('b'), 'who would have as many').to.equal(undefined)
  })

  it('are forgotten whole', () => {
    come(1, 'a 1', 'b 1')
    expect(waiting.all.map(({ name }) => name)).to.deep.equal(['a 1', 'b 1'])
    expect(waiting.remove(known.get('a 1')!)).to.equal(true)
    expect(waiting.remove(known.get('a 1')!)).to.equal(false)
    speak(2, 'a 1')
    expect(waiting.size).to.equal(1)
    expect(order()).to.deep.equal(['b 1'])
  })
})
