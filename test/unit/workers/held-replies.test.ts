import { expect } from 'chai'
import { HeldReplies } from '#workers/driver/held-replies.js'

describe('replies for clients that do not read', () => {
  it('are kept up to a bound, and then the one with most is cut off', () => {
    const closed: string[] = []
    const reader = (name: string) => ({ user: { session: { close: (why: string) => void closed.push(`${name} ${why}`) } } })
    const [a, b, c] = [reader('a'), reader('b'), reader('c')]
    const held = new HeldReplies(100)
    held.note(a, 40)
    held.note(b, 50)
    held.note(c, 10)
    expect(closed).to.deep.equal([])
    held.note(a, 5)
    expect(closed).to.deep.equal(['b does not read the replies to its calls'])
    held.note(c, 45)
    expect(closed).to.have.length(1)
    held.forget(a)
    held.note(b, 45)
    expect(closed, 'what was taken counts no more').to.have.length(1)
  })
})
