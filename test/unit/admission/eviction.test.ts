import { expect } from 'chai'
import fc from 'fast-check'
import { Eviction, type Candidate, type Claim } from '#main/clients/eviction.js'
import { ROOT } from '#main/clients/owner.js'

interface Named extends Candidate {
  name: string
}

const candidate = (name: string, silentMs: number, more: Partial<Candidate> = {}): Named => ({
  name, owner: name.split(' ')[0]!, silentMs, hasSpoken: true, ageMs: 60_000, ...more
})
const claim = (owner: string, waitedMs = 1000): Claim => ({ owner, waitedMs })
const chosen = (candidates: readonly Named[], by: Claim): string | undefined => new Eviction(candidates).choose(by)?.name

describe('who is closed to make room', () => {
  it('is the longest silent one of the owner that has most', () => {
    const all = [candidate('a 1', 90_000), candidate('b 1', 2000), candidate('b 2', 3000), candidate('b 3', 1000)]
    expect(chosen(all, claim('c'))).to.equal('b 2')
  })

  it('is nobody who was heard within a second', () => {
    expect(chosen([candidate('a 1', 999), candidate('a 2', 999)], claim('b'))).to.equal(undefined)
    expect(chosen([candidate('a 1', 999), candidate('a 2', 1000)], claim('b'))).to.equal('a 2')
  })

  it('is the longest silent of all where nobody has more than others', () => {
    expect(chosen([candidate('a 1', 2000), candidate('b 1', 3000)], claim('c'))).to.equal('b 1')
  })

  it('is of the next owner if all of the first are speaking', () => {
    const speaking = ['a 1', 'a 2', 'a 3', 'a 4'].map(name => candidate(name, 0))
    expect(chosen([...speaking, candidate('b 1', 2000), candidate('b 2', 4000)], claim('c'))).to.equal('b 2')
  })

  it('is not of an owner who would then have fewer than the newcomer\'s', () => {
    const crowd = ['a 1', 'a 2', 'a 3'].map(name => candidate(name, 0))
    expect(chosen([...crowd, candidate('b 1', 9000)], claim('a'))).to.equal(undefined)
    expect(chosen([...crowd, candidate('b 1', 9000)], claim('c')), 'one against none').to.equal(undefined)
  })

  it('is one of the newcomer\'s own if it has most, sooner if that has never spoken', () => {
    const others = [candidate('b 1', 9000), candidate('a 1', 4000), candidate('a 2', 3000)]
    expect(chosen(others, claim('a'))).to.equal(undefined)
    expect(chosen([...others, candidate('a 3', 1000, { hasSpoken: false })], claim('a'))).to.equal('a 3')
    expect(chosen([...others, candidate('a 3', 5000)], claim('a'))).to.equal('a 3')
  })

  it('is never root\'s for another, and may be root\'s for root', () => {
    const all = [candidate('user 0', 9000, { owner: ROOT }), candidate('user 0', 9000, { owner: ROOT })]
    expect(chosen(all, claim('a', 60_000))).to.equal(undefined)
    expect(chosen(all, claim(ROOT))).to.equal('user 0')
  })

  it('is after some time one that is not silent, if its owner has at least two more', () => {
    const all = [candidate('a 1', 0, { ageMs: 6000 }), candidate('a 2', 0, { ageMs: 7000 }), candidate('b 1', 0)]
    expect(chosen(all, claim('c', 4999))).to.equal(undefined)
    expect(chosen(all, claim('c', 5000))).to.equal('a 2')
    expect(chosen(all, claim('b', 5000)), 'for one who has one').to.equal(undefined)
    expect(chosen(all.map(one => ({ ...one, ageMs: 4999 })), claim('c', 5000)), 'newcomers themselves').to.equal(undefined)
  })

  it('changes with those who have gone, were not silent after all, and have come', () => {
    const all = [candidate('a 1', 3000), candidate('a 2', 4000), candidate('a 3', 5000), candidate('b 1', 2000), candidate('b 2', 1500)]
    const eviction = new Eviction(all)
    const next = (): Named | undefined => eviction.choose(claim('c'))
    expect(next()?.name).to.equal('a 3')
    eviction.remove(all[2]!)
    eviction.add('c')
    expect(next()?.name).to.equal('a 2')
    eviction.spare(all[1]!)
    expect(next()?.name).to.equal('a 1')
    eviction.remove(all[0]!)
    // Now a has one, b two, c one: c would have as many as b.
    expect(next()?.name).to.equal('b 1')
  })

  it('leaves no owner with fewer than the newcomer\'s have then', () => {
    const owner = fc.constantFrom('a', 'b', 'c', ROOT)
    const some = fc.record({ owner, silentMs: fc.nat(10_000), hasSpoken: fc.boolean(), ageMs: fc.nat(10_000) })
    fc.assert(fc.property(fc.array(some, { maxLength: 12 }), owner, fc.nat(10_000), (all, by, waitedMs) => {
      const count = (of: string): number => all.filter(one => one.owner === of).length
      const gone = new Eviction(all).choose({ owner: by, waitedMs })
      if (gone === undefined) return
      expect(gone.silentMs >= 1000 || waitedMs >= 5000).to.equal(true)
      expect(gone.owner !== ROOT || by === ROOT).to.equal(true)
      if (gone.owner !== by) expect(count(gone.owner) - 1).to.be.at.least(count(by) === 0 ? 0 : count(by))
    }))
  })
})
