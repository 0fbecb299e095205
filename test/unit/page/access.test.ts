import type { IncomingHttpHeaders } from 'node:http'
import { expect } from 'chai'
import { digestOf } from '#main/config/metrics-token.js'
import { Access, type AccessRules } from '#main/page/access.js'
import type { Answered } from '#main/metrics/server.js'

const TOKEN = '0123456789abcdef0123456789abcdef'
const SHOWN: Answered = { status: 200, contentType: 'text/plain', body: 'names' }
const basic = (password: string, user = ''): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

describe('who may see the page', () => {
  let tries = 0
  beforeEach(() => void (tries = 0))

  function access(rules: Partial<AccessRules>): Access {
    return new Access({ own: false, token: () => undefined, wrong: () => void tries++, ...rules })
  }

  /** What is answered to such a request. */
  function asked(of: Access, headers: IncomingHttpHeaders): Promise<Answered> {
    const answer = of.guarded(() => Promise.resolve(SHOWN))
    return answer({ headers: { host: 'localhost:16519', ...headers }, query: new URLSearchParams() })
  }

  const guarded = (): Access => access({ token: () => digestOf(TOKEN) })

  it('is nobody over TCP without a token', async () => {
    const closed = access({})
    expect(closed.offered).to.equal(false)
    for (const authorization of [undefined, basic(''), basic(TOKEN)]) {
      expect((await asked(closed, { authorization })).status).to.equal(404)
    }
  })

  it('is who reaches the socket of the owner', async () => {
    const own = access({ own: true })
    expect(own.offered).to.equal(true)
    expect(await asked(own, {})).to.equal(SHOWN)
  })

  it('is who has the token, whatever the user is called', async () => {
    for (const authorization of [basic(TOKEN), basic(TOKEN, 'fred'), basic(TOKEN).replace('Basic', 'basic  ')]) {
      expect(await asked(guarded(), { authorization })).to.equal(SHOWN)
      expect(await asked(access({ own: true, token: () => digestOf(TOKEN) }), { authorization })).to.equal(SHOWN)
    }
    expect(tries).to.equal(0)
  })

  it('is asked for the token by the browser', async () => {
    for (const authorization of [undefined, '', 'Basic', 'Basic !', 'Bearer x', basic('').slice(0, 6)]) {
      const { status, headers, body } = await asked(guarded(), { authorization })
      expect(status, authorization).to.equal(401)
      expect(headers).to.deep.equal({ 'WWW-Authenticate': 'Basic realm="virtbroker"' })
      expect(body).not.to.contain('names')
    }
    expect(tries).to.equal(0)
    expect((await asked(access({ own: true, token: () => digestOf(TOKEN) }), {})).status).to.equal(401)
  })

  it('waits with the wrong token, and is not even looked at with the right one where there are too many wrong ones', async () => {
    const one = guarded()
    const begin = performance.now()
    const wrong = ['x', '', `${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase(), `${TOKEN}\0`, ':', TOKEN.repeat(2)].map(async token =>
      asked(one, { authorization: basic(token) })
    )
    const { status, headers } = await asked(one, { authorization: basic(TOKEN) })
    expect({ status, headers }).to.deep.equal({ status: 429, headers: { 'Retry-After': '1' } })
    for (const { status } of await Promise.all(wrong)) expect(status).to.equal(401)
    expect(performance.now() - begin).to.be.above(900)
    expect(tries).to.equal(8)
    expect(await asked(one, { authorization: basic(TOKEN) })).to.equal(SHOWN)
  })

  it('goes by the token that counts now', async () => {
    let token: Uint8Array | undefined = digestOf(TOKEN)
    const one = access({ token: () => token })
    const authorization = basic(TOKEN)
    expect(await asked(one, { authorization })).to.equal(SHOWN)
    token = digestOf(`${TOKEN}-new`)
    expect((await asked(one, { authorization })).status).to.equal(401)
    token = undefined
    expect((await asked(one, { authorization })).status).to.equal(404)
    expect(one.offered).to.equal(false)
  })

  it('is no page of another name, or of another origin, on the socket neither', async () => {
    for (const one of [guarded(), access({ own: true })]) {
      const authorization = basic(TOKEN)
      for (const host of ['evil.example', '127.0.0.1.evil.example', '192.0.2.1', '']) {
        expect((await asked(one, { authorization, host })).status, host).to.equal(421)
      }
      for (const site of ['cross-site', 'same-site']) {
        expect((await asked(one, { authorization, 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' })).status).to.equal(403)
        expect(await asked(one, { authorization, 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' })).to.equal(SHOWN)
      }
      for (const site of ['same-origin', 'none']) expect(await asked(one, { authorization, 'sec-fetch-site': site })).to.equal(SHOWN)
    }
  })
})
