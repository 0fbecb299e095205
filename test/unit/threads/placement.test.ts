import { expect } from 'chai'
import { placeFor, type Place } from '#main/threads/placement.js'

interface Thread extends Place {
  name: string
}

const thread = (name: string, clients: number, busy = false, stuck = false, leaving = false, ending = false): Thread =>
  ({ name, clients, busy, stuck, leaving, ending })

describe('the place for a new client', () => {
  it('is the first thread that has fewer clients than it may have before others get any', () => {
    expect(placeFor([thread('a', 15), thread('b', 0)], 16)).to.include({ name: 'a' })
    expect(placeFor([thread('a', 16), thread('b', 0)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 16), thread('b', 16), thread('c', 3)], 16)).to.include({ name: 'c' })
  })

  it('is the thread with the fewest when all have so many', () => {
    expect(placeFor([thread('a', 18), thread('b', 17), thread('c', 17)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 1), thread('b', 0)], 1)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 2), thread('b', 1)], 0)).to.include({ name: 'b' })
  })

  it('is not a busy thread as long as another has few', () => {
    expect(placeFor([thread('a', 1, true), thread('b', 15)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 1, true), thread('b', 16)], 16)).to.include({ name: 'a' })
    expect(placeFor([thread('a', 2, true), thread('b', 1, true)], 16)).to.include({ name: 'b' })
  })

  it('is not a thread that is to leave as long as there is another', () => {
    expect(placeFor([thread('a', 0, false, false, true), thread('b', 30)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 2, false, false, true)], 16)).to.include({ name: 'a' })
  })

  it('is never a thread that was told to end', () => {
    expect(placeFor([thread('a', 0, false, false, true, true), thread('b', 30, true, true)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 0, false, false, true, true)], 16)).to.equal(undefined)
  })

  it('is not a thread that is stuck as long as there is another', () => {
    expect(placeFor([thread('a', 1, false, true), thread('b', 30, true)], 16)).to.include({ name: 'b' })
    expect(placeFor([thread('a', 30, true), thread('b', 1, false, true)], 16)).to.include({ name: 'a' })
    expect(placeFor([thread('a', 2, false, true), thread('b', 1, false, true)], 16)).to.include({ name: 'b' })
  })

  it('is nowhere when there is no thread', () => {
    expect(placeFor([], 16)).to.equal(undefined)
  })
})
