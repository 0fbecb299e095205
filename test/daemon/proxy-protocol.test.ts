import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { readParams, stringParam } from '#protocol/typed-params.js'
import { XdrReader } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { Ctl } from '../support/ctl.js'
import { frame } from '../support/frame-socket.js'
import { Pki } from '../support/pki.js'
import { local, sslValue, tlv, v1, v2, v2Raw } from '../support/proxy-headers.js'
import { Random } from '../support/random.js'
import { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { confirmation } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

/** Bytes that come one by one: beyond what each version begins with, and soon done where the machine is busy. */
const DRIPPED = 20
const CONF = { proxy_protocol: 'require', proxy_trusted: ['127.0.0.1'], log_level: 2 }

describe('the PROXY protocol', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const start = (conf: Conf = {}): Promise<Stage> => Stage.start(cleanup, { ...CONF, ...conf })

  /** A client whose proxy says this of it. */
  async function through(stage: Stage, header: Buffer): Promise<RawClient> {
    const client = await stage.connect()
    client.write(header)
    return client
  }

  const isServed = async (client: RawClient): Promise<boolean> =>
    client.call(REMOTE.authList).then(({ status }) => status === STATUS.ok, () => false)

  async function addresses(stage: Stage): Promise<(string | undefined)[]> {
    const clients = await new Ctl(cleanup, stage.broker).json<{ peer?: string }[]>('clients')
    return clients.map(({ peer }) => peer)
  }

  it('tells where clients are: to lists, and to virt-admin', async () => {
    const stage = await start()
    const clients = [v1({ from: '198.51.100.7' }), v2({ from: '2001:db8::7', fromPort: 5 }), local()]
    for (const header of clients) expect(await isServed(await through(stage, header))).to.equal(true)
    await waitFor('all of them', async () => (await addresses(stage)).length === 3)
    const [first, second, third] = await addresses(stage)
    expect([first, second]).to.deep.equal(['198.51.100.7:4711', '[2001:db8::7]:5'])
    expect(third, 'a proxy\'s own').to.match(/^127\.0\.0\.1:\d+$/)
  })

  it('is read to its end and no further, however it comes', async () => {
    const stage = await start()
    for (const header of [v1({ from: '198.51.100.7' }), v2({ from: '198.51.100.7' }, tlv(2, Buffer.alloc(300)))]) {
      const inOne = await through(stage, Buffer.concat([header, frame({ proc: REMOTE.authList, serial: 9 })]))
      expect((await inOne.next({ serial: 9 })).status).to.equal(STATUS.ok)
      const slow = await stage.connect()
      for (const byte of header.subarray(0, DRIPPED)) {
        slow.write(Buffer.from([byte]))
        await sleep(1)
      }
      slow.write(header.subarray(DRIPPED))
      expect(await isServed(slow)).to.equal(true)
    }
  })

  it('is required: what comes without a header, or with a bad one, is closed and counted', async () => {
    const stage = await start({ auth_tcp: 'sasl' })
    const short = v2Raw(1, 0x11, Buffer.alloc(5))
    const bad = [frame({ proc: REMOTE.authList }), Buffer.from('PROXY TCP4 a b 1 1\r\n'), short, Buffer.alloc(200)]
    for (const header of bad) await (await through(stage, header)).end()
    await waitFor('the log', () => (stage.broker.program.stderr.match(/PROXY header refused: /g)?.length ?? 0) === bad.length)
  })

  it('closes those who send no header in time, or never end it', async () => {
    const stage = await start()
    const late = [await stage.connect(), await through(stage, v2({ from: '198.51.100.7' }).subarray(0, 20))]
    for (const client of late) await client.end()
    await stage.broker.program.hasSaid(/PROXY header not sent in time/)
  })

  it('lets nobody in but trusted proxies, and asks nobody on a UNIX socket', async () => {
    const stage = await start({ proxy_trusted: ['192.0.2.0/24', '2001:db8::/32'] })
    const client = await through(stage, v1({ from: '198.51.100.7' }))
    const { localPort } = client.socket
    await client.end()
    await stage.broker.program.hasSaid(`127.0.0.1:${localPort}: refused, it is none of the proxies that may come (proxy_trusted)`)
    expect(await isServed(await stage.connect(stage.broker.socket))).to.equal(true)
  })

  it('counts clients where they are', async () => {
    const stage = await start({ max_clients_per_address: 2 })
    const from = (fromPort: number): Promise<RawClient> => through(stage, v2({ from: '198.51.100.7', fromPort }))
    const same = [await from(1), await from(2)]
    for (const client of same) expect(await isServed(client)).to.equal(true)
    await waitFor('both to be counted', async () => (await addresses(stage)).filter(address => address?.startsWith('198.')).length === 2)
    await (await from(3)).end()
    await stage.broker.program.hasSaid(/198\.51\.100\.7:3: refused, address 198\.51\.100\.7 has 2 connections/)
    for (const client of [...same, await through(stage, v2({ from: '198.51.100.8' }))]) expect(await isServed(client)).to.equal(true)
  })

  it('says where they are to the policy', async () => {
    const stage = await start({ procedure_policy: ['address=198.51.100.0/24 => deny connect:getattr'] })
    const asked = async (from: string): Promise<number> => {
      const client = await through(stage, v2({ from }))
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
      return (await client.call(REMOTE.connectGetHostname)).status
    }
    stage.driver.on(REMOTE.connectGetHostname, () => Buffer.from('0000000161000000', 'hex'))
    expect([await asked('198.51.100.7'), await asked('203.0.113.7')]).to.deep.equal([STATUS.error, STATUS.ok])
  })

  it('closes one connection for each of thousands of changed headers, and serves the others', async () => {
    const stage = await start({ log_level: 4 })
    const neighbour = await through(stage, v2({ from: '198.51.100.7' }))
    const seed = Date.now() & 0x7fffffff
    const random = new Random(seed)
    const withTls = v2({ from: '198.51.100.7' }, sslValue(7, 0, tlv(0x28, Buffer.alloc(99))))
    const good = [v1({ from: '198.51.100.7' }), v2({ from: '2001:db8::7' }), withTls]
    for (let round = 0; round < 40; round++) {
      await Promise.all(Array.from({ length: 50 }, async () => {
        const bytes = Buffer.from(random.pick(good))
        for (let i = random.integer(1, 4); i > 0; i--) bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255)
        const client = await stage.connect()
        client.socket.end(bytes)
        await client.end()
      }))
      expect(await isServed(neighbour), `seed ${seed}`).to.equal(true)
    }
  })

  describe('with TLS that ends at the proxy', () => {
    let pki: Pki
    const certificates = new Cleanup()
    before(async () => (pki = await Pki.make(certificates)))
    after(() => certificates.run())

    const conf = { proxy_tls_identity: 1, auth_tcp: 'sasl', auth_tls: 'none', tls_allowed_dn_list: ['CN=good*'] }
    const FLAGS = { tls: 1, certificate: 3 }

    const derOf = async (name: string): Promise<Buffer> => {
      const { certificate } = await pki.client({ cn: name })
      return new X509Certificate(await readFile(certificate)).raw
    }
    const inSsl = (der: Buffer): Buffer => sslValue(FLAGS.certificate, 0, tlv(0x28, der))

    /** A client that waits for the byte that confirms its certificate. */
    async function behind(stage: Stage, ...values: Buffer[]): Promise<RawClient> {
      const socket = connect({ host: '127.0.0.1', port: stage.broker.tcpPort, noDelay: true })
      cleanup.defer(() => Promise.resolve(socket.destroy()))
      socket.write(v2({ from: '198.51.100.7' }, ...values))
      await confirmation(socket)
      return new RawClient(socket)
    }

    it("takes the certificate that the proxy has verified for the client's", async () => {
      const stage = await start(conf)
      const text = (await derOf('good 2')).toString('base64')
      const ways = { 'good 1': [inSsl(await derOf('good 1'))], 'good 2': [sslValue(FLAGS.certificate, 0), tlv(0xe0, Buffer.from(text))] }
      for (const [name, values] of Object.entries(ways)) {
        const client = await behind(stage, ...values)
        const connected = stage.driver.nextConnection()
        expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
        const call = (await connected).calls.find(({ proc }) => proc === REMOTE.connectSetIdentity)!
        expect(readParams(new XdrReader(call.payload), 20)).to.deep.equal([stringParam('x509-distinguished-name', `CN=${name}`)])
      }
    })

    it('lets in none that has shown no certificate, that is not verified, or not of an allowed name', async () => {
      const stage = await start(conf)
      const good = await derOf('good client')
      const bad: Buffer[][] = [
        [sslValue(FLAGS.tls, 0)], [sslValue(FLAGS.tls, 0, tlv(0x28, good))], [sslValue(FLAGS.certificate, 0)],
        [sslValue(FLAGS.certificate, 20, tlv(0x28, good))], [inSsl(await derOf('bad client'))], [inSsl(Buffer.from('not a certificate'))]
      ]
      for (const values of bad) {
        const refused = await behind(stage, ...values).then(() => false, () => true)
        expect(refused, values[0]!.toString('hex')).to.equal(true)
      }
      await stage.broker.program.hasSaid(/Distinguished Name is not on the list of allowed clients.* \(CN=bad client\)/)
    })

    it('has others log in as over TCP', async () => {
      const stage = await start(conf)
      expect((await (await through(stage, v2({ from: '198.51.100.7' }))).open('qemu:///system')).status).to.equal(STATUS.error)
    })

    it('takes no notice of it where it is not told to', async () => {
      const stage = await start({ auth_tcp: 'none' })
      expect(await isServed(await through(stage, v2({ from: '198.51.100.7' }, inSsl(await derOf('good client')))))).to.equal(true)
    })
  })
})
