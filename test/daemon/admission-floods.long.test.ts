import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { arriveAs, connectAs, openToAll, USER } from '../support/as-user.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { frame } from '../support/frame-socket.js'
import { Pki, type Credentials } from '../support/pki.js'
import type { RawClient } from '../support/raw-client.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { rawTlsClient } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

/** What a client waits for that is not concerned, on a machine that has much to do. */
const AT_ONCE_MS = 5000
/** Somebody must be silent for a second before it can be closed for another, who has waited as long; others are in ten. */
const SOON_MS = 9000
/** The broker's limits are what the documentation says they are without a word in the configuration. */
const DEFAULTS = { auth_unix_rw: 'polkit', auth_unix_ro: 'polkit', auth_tcp: 'sasl' } as const

/** How long it takes until the client is answered; the answer to AUTH_LIST, or to a feature call by one who is in. */
async function served(client: RawClient, within: number, proc: number = REMOTE.authList): Promise<number> {
  const began = performance.now()
  const serial = client.post(proc, proc === REMOTE.authList ? undefined : encodeFeature(10))
  expect((await client.next({ serial }, within)).status).to.equal(STATUS.ok)
  return performance.now() - began
}

describe('silent connections, with the limits as they are by default,', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let pki: Pki
  let server: Credentials
  let good: Credentials
  before(async () => {
    pki = await Pki.make(cleanup)
    server = await pki.server()
    good = await pki.client()
  })
  after(() => cleanup.run())

  describe('leave room for root and for others:', () => {
    let stage: Stage
    let tlsPort: number
    let crowd: SilentCrowd

    beforeEach(async () => {
      tlsPort = await freePort()
      const tls = { listen_tls: 1, tls_port: String(tlsPort), ca_file: pki.ca.certificate }
      stage = await Stage.start(cleanup, { ...DEFAULTS, ...tls, cert_file: server.certificate, key_file: server.key })
      await openToAll(stage.broker.dir)
      crowd = new SilentCrowd(cleanup)
    })
    afterEach(async () => {
      crowd.leave()
      await stage.broker.program.stop()
    })

    const expectRootServed = async (): Promise<void> => {
      await served(await stage.connect(stage.broker.roSocket), AT_ONCE_MS)
      const client = await stage.connect(stage.broker.socket)
      await served(client, AT_ONCE_MS)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    }

    it('40 over TCP, which would have to log in', async () => {
      await crowd.join(40, stage.broker.tcpPort)
      await expectRootServed()
      await served(await stage.connect(), SOON_MS)
      await served(await stage.connect({ host: '127.0.0.1', port: stage.broker.tcpPort, localAddress: '127.0.0.2' }), SOON_MS)
    })

    it('400 over TCP that have begun with a frame and do not go on', async () => {
      await crowd.join(400, stage.broker.tcpPort, frame({ proc: REMOTE.authList }).subarray(0, 10))
      await expectRootServed()
      await served(await stage.connect({ host: '127.0.0.1', port: stage.broker.tcpPort, localAddress: '127.0.0.2' }), SOON_MS)
    })

    it('5,400 over TLS, without a certificate', async () => {
      await crowd.join(5400, tlsPort)
      await expectRootServed()
      await served(await stage.connect(), AT_ONCE_MS)
      const client = await rawTlsClient(cleanup, tlsPort, good)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    })

    it('200 of one user on the read-only socket', async () => {
      await crowd.joinAs(USER.nobody, 200, stage.broker.roSocket)
      await expectRootServed()
      await served(await connectAs(cleanup, USER.daemon, stage.broker.socket), AT_ONCE_MS)
      await served(await connectAs(cleanup, USER.daemon, stage.broker.roSocket), SOON_MS)
      await served(await connectAs(cleanup, USER.nobody, stage.broker.roSocket), SOON_MS)
    })

    it('more of one user than may wait', async () => {
      await crowd.joinAs(USER.nobody, 6000, stage.broker.roSocket)
      await expectRootServed()
      await served(await arriveAs(cleanup, USER.daemon, stage.broker.roSocket), SOON_MS)
    })

    it('and the log has a few lines of all that', async () => {
      await crowd.joinAs(USER.nobody, 2000, stage.broker.roSocket)
      const speaking: RawClient[] = []
      for (let i = 0; i < 40; i++) speaking.push(await arriveAs(cleanup, USER.nobody, stage.broker.roSocket))
      // All that the limit allows at a time; then others of the same user are no better than they.
      await Promise.all(speaking.slice(0, 20).map(client => served(client, SOON_MS)))
      const { program } = stage.broker
      await program.hasSaid(/readonly: 20 clients that have not logged in .*: others wait/)
      await program.hasSaid(/readonly: .* a connection of user 65534 that is not logged in is closed for another/)
      expect(program.stderr.split('\n').length).to.be.below(40)
    })
  })

  it('are closed ten seconds after they came if they were to log in, and those that speak are not', async () => {
    const stage = await Stage.start(cleanup, DEFAULTS)
    await openToAll(stage.broker.dir)
    const speaking = await connectAs(cleanup, USER.nobody, stage.broker.socket)
    const began = performance.now()
    const silent = [await connectAs(cleanup, USER.nobody, stage.broker.socket), await stage.connect()]
    await served(speaking, AT_ONCE_MS)
    for (const client of silent) await client.next({}, 20_000).catch(() => undefined)
    for (const client of silent) expect(client.closed).to.equal(true)
    // And sooner than any login takes.
    expect(performance.now() - began).to.be.above(9000)
    await served(speaking, AT_ONCE_MS)
  })
})

describe('when places are short', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    // A bus that never says anything: polkit's answers do not come.
    const bus = `${await tempDir(cleanup)}/bus`
    const server = createServer(() => undefined).listen(bus)
    await once(server, 'listening')
    cleanup.defer(() => Promise.resolve(server.close()))
    const system_bus_address = `unix:path=${bus}`
    stage = await Stage.start(cleanup, { ...DEFAULTS, max_anonymous_clients: 10, system_bus_address })
    await openToAll(stage.broker.dir)
  })
  after(() => cleanup.run())

  it('a login that is slow and goes on is not closed for others of its user, silent ones are', async () => {
    const slow = await connectAs(cleanup, USER.nobody, stage.broker.socket)
    const crowd = new SilentCrowd(cleanup)
    await crowd.joinAs(USER.nobody, 9, stage.broker.socket)
    // Longer than anything here takes.
    const call = frame({ proc: REMOTE.authList, serial: 7 }, Buffer.alloc(200))
    let at = 0
    const timer = setInterval(() => { if (at < call.length - 1) slow.socket.write(call.subarray(at, ++at)) }, 200)
    // All nine are needed, and all at once.
    const others: RawClient[] = []
    for (let i = 0; i < 9; i++) others.push(await connectAs(cleanup, USER.nobody, stage.broker.socket))
    await Promise.all(others.map(client => served(client, SOON_MS)))
    await waitFor('the silent ones to be closed', () => crowd.closed === 9)
    clearInterval(timer)
    slow.socket.write(call.subarray(at))
    await slow.next({ serial: 7 })
    for (const client of [slow, ...others]) client.destroy()
  })

  it('who waits for polkit is not silent', async () => {
    const asking = await connectAs(cleanup, USER.nobody, stage.broker.socket)
    await served(asking, AT_ONCE_MS)
    asking.post(REMOTE.authPolkit)
    const crowd = new SilentCrowd(cleanup)
    await crowd.joinAs(USER.nobody, 9, stage.broker.socket)
    const others: RawClient[] = []
    for (let i = 0; i < 9; i++) others.push(await connectAs(cleanup, USER.nobody, stage.broker.socket))
    await Promise.all(others.map(client => served(client, SOON_MS)))
    await waitFor('the silent ones to be closed', () => crowd.closed === 9)
    expect(asking.closed).to.equal(false)
    for (const client of [asking, ...others]) client.destroy()
  })

  it('a user who has many loses one, not who has one', async () => {
    const one = await connectAs(cleanup, USER.bin, stage.broker.socket)
    const crowd = new SilentCrowd(cleanup)
    await crowd.joinAs(USER.nobody, 30, stage.broker.socket)
    await sleep(1200)
    const newcomers = [USER.nobody, USER.daemon, USER.nobody, USER.daemon].map(uid => connectAs(cleanup, uid, stage.broker.socket))
    for (const newcomer of newcomers) await served(await newcomer, SOON_MS)
    await served(one, AT_ONCE_MS)
    for (const newcomer of newcomers) (await newcomer).destroy()
    crowd.leave()
    one.destroy()
  })

  it('who holds many places and goes on sending loses one after a while to a user who has none', async () => {
    const holding: RawClient[] = []
    for (let i = 0; i < 10; i++) holding.push(await connectAs(cleanup, USER.nobody, stage.broker.socket))
    const timer = setInterval(() => { for (const client of holding) if (!client.closed) client.post(REMOTE.authList) }, 200)
    await served(holding[9]!, AT_ONCE_MS)
    await served(await connectAs(cleanup, USER.daemon, stage.broker.socket), 15_000)
    clearInterval(timer)
    await waitFor('one of them to be closed', () => holding.some(({ closed }) => closed))
    expect(holding.filter(({ closed }) => closed)).to.have.length(1)
    for (const client of holding) client.destroy()
  })

  it('a crowd of one user that logs in is served to the last, however many wait', async () => {
    const crowd = await Promise.all(Array.from({ length: 300 }, () => stage.connect(stage.broker.socket)))
    await Promise.all(crowd.map(client => served(client, 30_000)))
    expect(crowd.filter(({ closed }) => closed)).to.be.empty
    for (const client of crowd) client.destroy()
  })
})

describe('silent connections where nobody has to log in', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('stay for as long as they like, and make room when max_clients is reached', async () => {
    const stage = await Stage.start(cleanup, { max_clients: 30, max_anonymous_clients: 5 })
    const crowd = new SilentCrowd(cleanup)
    await crowd.join(28, stage.broker.tcpPort)
    const in1 = await stage.connect()
    await served(in1, AT_ONCE_MS)
    await sleep(11_000)
    expect(crowd.closed).to.equal(0)
    const newcomers = await Promise.all(Array.from({ length: 10 }, () => stage.connect()))
    await Promise.all(newcomers.map(client => served(client, SOON_MS)))
    await waitFor('nine to be closed', () => crowd.closed === 9)
    await served(in1, AT_ONCE_MS)
    for (const client of [in1, ...newcomers]) expect(client.closed).to.equal(false)
  })
})

describe('clients that are in and take all of max_clients', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('leave each other listener places of its own, and root more', async () => {
    const stage = await Stage.start(cleanup, { max_clients: 32 })
    await openToAll(stage.broker.dir)
    const all: RawClient[] = []
    const come = async (client: RawClient): Promise<RawClient> => {
      await served(client, AT_ONCE_MS, REMOTE.connectSupportsFeature)
      all.push(client)
      return client
    }
    const waits = async (client: RawClient): Promise<RawClient> => {
      const serial = client.post(REMOTE.authList)
      await sleep(500)
      expect(client.inbox).to.be.empty
      await expectNothing(client, serial)
      return client
    }
    const expectNothing = async (client: RawClient, serial: number): Promise<void> => {
      const answer = await client.next({ serial }, 1500).then(() => 'an answer', () => 'nothing')
      expect(answer).to.equal('nothing')
      expect(client.closed).to.equal(false)
    }
    for (let i = 0; i < 32; i++) await come(await stage.connect())
    const late = await waits(await stage.connect())
    // A sixteenth of max_clients.
    for (let i = 0; i < 2; i++) await come(await connectAs(cleanup, USER.nobody, stage.broker.roSocket))
    await waits(await connectAs(cleanup, USER.nobody, stage.broker.roSocket))
    for (let i = 0; i < 16; i++) await come(await stage.connect(stage.broker.roSocket))
    await waits(await stage.connect(stage.broker.roSocket))
    for (let i = 0; i < 2; i++) await come(await connectAs(cleanup, USER.nobody, stage.broker.socket))
    // Root's own places are free again before others get any.
    for (const client of all.slice(0, 24)) client.destroy()
    await waitFor('room for the one that waited', () => late.inbox.length > 0)
  })
})
