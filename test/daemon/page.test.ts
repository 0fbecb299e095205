import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { fetchPage, type Fetched, type Where } from '../support/metrics.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import type { LiveState } from '#main/page/live-state.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const TOKEN = '0123456789abcdef0123456789abcdef'
const PAGE = ['/', '/main.js', '/page.css', '/api/state', '/api/state?rows=1']
const HOST = { host: 'localhost' }
const basic = (token: string): { authorization: string } => ({ authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` })

describe('the live page', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function tokenFile(token: string): Promise<string> {
    const path = join(await tempDir(cleanup), 'token')
    await writeFile(path, `${token}\n`, { mode: 0o600 })
    return path
  }

  async function overTcp(conf: Conf = {}): Promise<{ stage: Stage; port: number }> {
    const port = await freePort()
    return { stage: await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}`, log_level: 2, ...conf }), port }
  }

  async function state(where: Where, query = '', headers = {}): Promise<LiveState> {
    const { status, contentType, body } = await fetchPage(where, `/api/state${query}`, { ...HOST, ...headers })
    expect({ status, contentType }).to.deep.equal({ status: 200, contentType: 'application/json' })
    return JSON.parse(body) as LiveState
  }

  it('is not there for strangers over TCP, while metrics and health are', async () => {
    const { stage, port } = await overTcp()
    const { client } = await stage.open()
    for (const path of PAGE) {
      for (const headers of [{}, basic(TOKEN), basic('')]) {
        expect(await fetchPage(port, path, headers), path).to.include({ status: 404, body: 'there is nothing here\n' })
      }
    }
    for (const path of ['/metrics', '/livez', '/readyz']) expect((await fetchPage(port, path)).status, path).to.equal(200)
    await client.call(REMOTE.domainGetInfo, Buffer.alloc(0))
  })

  it('is there for who has the token, which a reload takes, changes and gives', async () => {
    const { stage, port } = await overTcp()
    const [first, second] = [await tokenFile(TOKEN), await tokenFile(`${TOKEN}-new`)]
    await stage.broker.reload({ metrics_token: first })
    for (const path of PAGE) {
      expect((await fetchPage(port, path)).status, path).to.equal(401)
      expect((await fetchPage(port, path, basic(TOKEN))).status, path).to.equal(200)
      expect((await fetchPage(port, path, basic(TOKEN), 'POST')).status, path).to.equal(405)
      expect((await fetchPage(port, path, { ...basic(TOKEN), host: 'evil.example' })).status, path).to.equal(421)
    }
    for (const path of ['/metrics', '/livez']) expect((await fetchPage(port, path)).status, path).to.equal(200)
    await stage.broker.reload({ metrics_token: second })
    expect((await fetchPage(port, '/', basic(TOKEN))).status).to.equal(401)
    expect((await fetchPage(port, '/', basic(`${TOKEN}-new`))).status).to.equal(200)
    await stage.broker.program.hasSaid(/warning : .*the live page was asked for with a wrong token/)
    // What cannot be used changes nothing.
    await writeFile(second, 'short', { mode: 0o600 })
    await stage.broker.signalReload({ metrics_token: second })
    await stage.broker.program.hasSaid(/metrics_token: '.*' has no line of 32 to 256 printable characters/)
    expect((await fetchPage(port, '/', basic(`${TOKEN}-new`))).status).to.equal(200)
    await stage.broker.reload({})
    expect((await fetchPage(port, '/', basic(`${TOKEN}-new`))).status).to.equal(404)
    expect(stage.broker.program.stderr).not.to.contain(TOKEN)
  })

  it('is there at a UNIX socket, under names of this host alone', async () => {
    const path = join(await tempDir(cleanup), 'metrics')
    await Stage.start(cleanup, { metrics_listen: `unix:${path}` })
    const hosts = [['localhost', 200], ['localhost:8080', 200], ['127.0.0.1:8080', 200], ['evil.example:8080', 421], ['x', 421]] as const
    for (const [host, status] of hosts) expect((await fetchPage(path, '/', { host })).status, host).to.equal(status)
    const foreign = { ...HOST, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' }
    expect((await fetchPage(path, '/api/state', foreign)).status).to.equal(403)
    // Whoever reads metrics there calls it as he likes.
    expect((await fetchPage(path, '/metrics', { host: 'x' })).status).to.equal(200)
  })

  it('tells who the clients are, and what they do', async () => {
    const path = join(await tempDir(cleanup), 'metrics')
    const stage = await Stage.start(cleanup, { metrics_listen: `unix:${path}`, actor_threads: 2, slow_call_ms: 100 })
    const attack = 'guest<img src=x onerror=alert(1)>'
    stage.driver.on(REMOTE.domainSave, () => undefined)
    const { client, daemon } = await stage.open(stage.broker.socket)
    const { client: other } = await stage.open()
    await other.call(REMOTE.domainGetXmlDesc, Buffer.alloc(0))
    client.post(REMOTE.domainSave, new XdrWriter().string(attack).finish())
    const call = await daemon.next({ proc: REMOTE.domainSave })
    await waitFor('the call in the figures', async () => {
      const { drivers, table } = await state(path, '?sort=oldest&order=descending')
      const [qemu, row] = [drivers.find(({ name }) => name === 'qemu'), table.rows[0]]
      return qemu?.inFlight === 1 && row?.activity?.inFlight === 1 && row.activity.oldestMs > 120 && row.activity.perSecond !== undefined
    })
    const during = await state(path, '?sort=oldest&order=descending&rows=1')
    const [row] = during.table.rows
    expect(row).to.include({ user: 'root', address: `pid ${process.pid}`, transport: 'unix', driver: 'qemu:///system', state: 'serving' })
    expect(during.table.rows).to.have.length(1)
    expect(during.table.matching).to.equal(during.clients.total)
    expect(during.broker).to.include({ state: 'serving', pid: stage.broker.program.child.pid })
    expect(during.broker.notReady).to.deep.equal([])
    expect(during.threads.map(({ number }) => number)).to.deep.equal([1, 2, undefined])
    expect(during.drivers.find(({ name }) => name === 'qemu')).to.include({ up: true, clients: 2 })
    daemon.reply(call)
    await client.next({ serial: call.serial })
    await waitFor('the slow call', async () => (await state(path)).slow.calls.some(({ procedure }) => procedure === 'DOMAIN_SAVE'))
    const after = await state(path, '?filter=127.0.0.1')
    // The machine may have been slow with another.
    expect(after.slow.calls.find(({ procedure }) => procedure === 'DOMAIN_SAVE')).to.include({ object: attack })
    expect(after.table.rows.map(({ transport }) => transport)).to.deep.equal(['tcp'])
    expect(after.procedures.map(({ procedure }) => procedure)).to.include.members(['DOMAIN_SAVE', 'DOMAIN_GET_XML_DESC'])
    expect(after.calls?.ok).to.equal(after.drivers.reduce((sum, { calls }) => sum + calls.ok, 0))
    expect(after.limits.find(({ name }) => name === 'clients')).to.deep.equal({ name: 'clients', used: after.clients.total, most: 5000 })
  })

  it('answers while a thread hangs', async () => {
    const path = join(await tempDir(cleanup), 'metrics')
    const stage = await Stage.start(cleanup, { metrics_listen: `unix:${path}`, actor_threads: 1 }, { nodeOptions: ['--import', killer] })
    await stage.open()
    await waitFor('the client', async () => (await state(path, '?filter=qemu')).table.rows.length === 1)
    stage.broker.program.child.kill('SIGURG')
    await stage.broker.program.hasSaid(/a thread hangs/)
    // What it has said before is told for a second.
    await waitFor('a state without what the thread knows', async () => {
      const [row] = (await state(path, '?filter=qemu')).table.rows
      expect(row).to.include({ driver: 'qemu:///system' })
      return row!.activity === undefined
    })
    stage.broker.program.child.kill('SIGURG')
    await waitFor('what the thread knows', async () => (await state(path, '?filter=qemu')).table.rows[0]?.activity !== undefined)
  })

  it('goes away with the connection, and with the broker', async () => {
    const path = join(await tempDir(cleanup), 'metrics')
    const stage = await Stage.start(cleanup, { metrics_listen: `unix:${path}` })
    const socket = connect(path)
    cleanup.defer(() => Promise.resolve(void socket.destroy()))
    socket.resume().on('error', () => undefined)
    socket.write('GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'data')
    await stage.broker.program.stop()
    if (!socket.closed) await once(socket, 'close')
    await fetchPage(path, '/').then((_: Fetched) => expect.fail('it is still there'), () => undefined)
  })
})
