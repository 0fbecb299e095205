import { expect } from 'chai'
import { MadePages } from '#main/metrics/made-pages.js'

describe('pages with metrics', () => {
  let now = 0
  let made = 0
  const pages = (): MadePages =>
    new MadePages(openMetrics => Promise.resolve({ contentType: String(openMetrics), body: String(++made) }), () => now)

  beforeEach(() => ([now, made] = [1e6, 0]))

  it('are made anew for each who asks now and then', async () => {
    const some = pages()
    for (let i = 1; i <= 100; i++) {
      expect((await some.get(false)).body).to.equal(String(i))
      now += 200
    }
  })

  it('are made a few times a second for those who ask all the time, and are never older than a second', async () => {
    const some = pages()
    for (let ms = 0; ms < 10_000; ms++) {
      const before = made
      await some.get(false)
      if (ms > 5000) expect(made - before).to.be.at.most(1)
      now++
    }
    expect(made).to.be.within(60, 75)
  })

  it('are not given to who wants another format', async () => {
    const some = pages()
    for (let i = 0; i < 100; i++) {
      expect((await some.get(true)).contentType).to.equal('true')
      expect((await some.get(false)).contentType).to.equal('false')
    }
    expect(made).to.be.at.most(25)
  })
})
