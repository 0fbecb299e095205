import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import { MAX_CONNECTIONS } from '#main/metrics/limits.js'
import { MetricsServer, type Answer } from '#main/metrics/server.js'
import { listenTcp } from '#workers/os/listening-sockets.js'
import { Cleanup } from '../../support/cleanup.js'
import { freePort } from '../../support/free-port.js'
import { fetchPage } from '../../support/metrics.js'
import { waitFor } from '../../support/waiting.js'

interface Connected {
  socket: Socket
  got: () => string
  ended: () => boolean
}

describe('the page with metrics and health', function () {
  this.timeout(30_000)
  const cleanup = new Cleanup()
  let port: number
  const failures: unknown[] = []
  let answered = 0
  const slow: (() => void)[] = []
  const answer = (body: string): Answer => ({ headers: { accept = '' } }) => {
    answered++
    return Promise.resolve({ status: 200, contentType: 'text/plain', body: body + accept })
  }

  before(async () => {
    const late: Answer = () => new Promise(resolve => slow.push(() => resolve({ status: 200, contentType: 'text/plain', body: 'slow' })))
    const failing: Answer = () => Promise.reject(new Error('no'))
    const answers = new Map([['/metrics', answer('metrics ')], ['/livez', answer('live')], ['/readyz', failing], ['/slow', late]])
    const server = new MetricsServer(path => answers.get(path), true, error => failures.push(error))
    port = await freePort()
    await server.listen(listenTcp('127.0.0.1', port, 16).fd)
    cleanup.defer(() => Promise.resolve(server.close()))
  })
  after(() => cleanup.run())

  async function connected(): Promise<Connected> {
    const socket = connect({ host: '127.0.0.1', port }).setEncoding('latin1').on('error', () => undefined)
    cleanup.defer(() => Promise.resolve(void socket.destroy()))
    let got = ''
    socket.on('data', (bytes: string) => (got += bytes))
    await once(socket, 'connect')
    return { socket, got: () => got, ended: () => socket.closed }
  }

  /** What is answered until the connection ends. */
  async function sent(request: string): Promise<string> {
    const { socket, got, ended } = await connected()
    socket.write(request)
    await waitFor('the end of the connection', ended)
    return got()
  }

  it('answers its paths, and no others', async () => {
    expect(await fetchPage(port, '/metrics', { accept: 'x' })).to.deep.equal({ status: 200, contentType: 'text/plain', body: 'metrics x' })
    expect(await fetchPage(port, '/livez?verbose')).to.include({ status: 200, body: 'live' })
    for (const path of ['/', '/metrics/', '/metrics/..', '//metrics', '/debug', '/%6Detrics']) {
      expect((await fetchPage(port, path)).status, path).to.equal(404)
    }
  })

  it('says that it has failed, and to others why', async () => {
    expect(await fetchPage(port, '/readyz')).to.include({ status: 500, body: 'internal failure\n' })
    expect(String(failures)).to.equal('Error: no')
  })

  it('takes no other method', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      expect((await fetchPage(port, '/metrics', {}, method)).status, method).to.equal(405)
    }
    const post = 'POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx'
    expect(await sent(post)).to.match(/^HTTP\/1.1 405 .*\r\nAllow: GET\r\n/)
    expect(await sent('CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n')).to.equal('')
  })

  it('is there under the names of this host alone', async () => {
    for (const host of ['localhost', `localhost:${port}`, '127.0.0.1:9', '[::1]', '[::1]:9', 'LOCALHOST', '127.9.9.9']) {
      expect((await fetchPage(port, '/metrics', { host })).status, host).to.equal(200)
    }
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil', '[::1].evil', '192.0.2.1', 'localhost:x']) {
      expect((await fetchPage(port, '/metrics', { host })).status, host).to.be.oneOf([400, 421])
    }
    expect(await sent('GET /metrics HTTP/1.1\r\nHost: \r\n\r\n')).to.match(/^HTTP\/1.1 421 /)
    expect(await sent('GET /metrics HTTP/1.0\r\n\r\n')).to.match(/^HTTP\/1.1 421 /)
    expect(await sent('GET /metrics HTTP/1.1\r\n\r\n')).to.match(/^HTTP\/1.1 400 /)
  })

  it('takes no header of more than 8 KiB', async () => {
    const header = (bytes: number): string =>
      `GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ${'x'.repeat(bytes)}\r\n\r\n`
    expect(await sent(header(7000))).to.match(/^HTTP\/1.1 200 /)
    expect(await sent(header(9000))).to.match(/^HTTP\/1.1 431 /)
    expect(await sent(`GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)).to.match(/^HTTP\/1.1 431 /)
  })

  it('does not wait for those who do not say what they want', async () => {
    const silent = await connected()
    const slow = await connected()
    slow.socket.write('GET /metrics HTTP/1.1\r\nHost: local')
    const body = await connected()
    body.socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n')
    const dripping = setInterval(() => slow.socket.write('x'), 500)
    cleanup.defer(() => Promise.resolve(clearInterval(dripping)))
    const begin = performance.now()
    await waitFor('the end of all three', () => silent.ended() && slow.ended() && body.ended(), 20_000)
    expect(performance.now() - begin).to.be.above(3000)
    expect(slow.got()).to.match(/^HTTP\/1.1 408 /)
  })

  it('makes one answer at a time for each connection, however many are asked for', async () => {
    const { socket, got } = await connected()
    const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
    for (let i = 1; i <= 3; i++) {
      socket.write(request)
      await waitFor('an answer', () => got().match(/metrics $/g)?.length === 1 && got().match(/ 200 /g)?.length === i)
    }
    const before = answered
    expect(await sent(request.repeat(10_000))).to.equal('')
    expect(answered - before).to.be.at.most(1)
  })

  it(`has ${MAX_CONNECTIONS} connections at a time, and those that ask for nothing keep nobody out`, async () => {
    const all: Connected[] = []
    for (let i = 0; i < MAX_CONNECTIONS; i++) all.push(await connected())
    for (let i = 0; i < 3; i++) {
      all.push(await connected())
      await waitFor('the end of the oldest', all[i]!.ended)
    }
    expect((await fetchPage(port, '/livez')).status).to.equal(200)
    await waitFor('the end of the next', all[3]!.ended)
    expect(all.filter(({ ended }) => !ended())).to.have.length(MAX_CONNECTIONS - 1)
    for (const { socket } of all) socket.destroy()
  })

  it('leaves those alone that wait for their answers', async () => {
    const all: Connected[] = []
    for (let i = 0; i < MAX_CONNECTIONS; i++) {
      const one = await connected()
      one.socket.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
      all.push(one)
    }
    await waitFor('them to ask', () => slow.length === MAX_CONNECTIONS)
    const more = await connected()
    await waitFor('the end of the one too many', more.ended)
    expect(all.filter(({ ended }) => ended())).to.deep.equal([])
    for (const answerNow of slow.splice(0)) answerNow()
    await waitFor('all answers', () => all.every(({ got }) => got().endsWith('slow')))
    for (const { socket } of all) socket.destroy()
  })
})
