import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import { freePort } from '../support/free-port.js'
import { Pki } from '../support/pki.js'
import { run } from '../support/processes.js'
import { listeningPorts } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { SaslFiles } from '../support/sasl.js'
import { mechanisms } from '../support/sasl-login.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { rawTlsClient } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

describe('listeners at a reload', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const start = (conf: Conf = {}): Promise<Stage> => Stage.start(cleanup, { log_level: 2, ...conf })
  const portsOf = ({ broker }: Stage): number[] => listeningPorts(broker.program.pid)

  async function isServed(client: RawClient): Promise<void> {
    expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
  }

  /** Keys for TLS, but for the one that turns it on. */
  async function tlsConf(pki: Pki): Promise<Conf> {
    const { certificate, key } = await pki.server()
    return { tls_port: String(await freePort()), auth_tls: 'none', ca_file: pki.ca.certificate, cert_file: certificate, key_file: key }
  }
  /** Has the file read, which cannot be used. */
  async function refuse({ broker }: Stage, conf: Conf, why: RegExp): Promise<void> {
    const times = (): number => broker.program.stderr.split('configuration not loaded anew').length
    const before = times()
    await broker.signalReload(conf)
    await waitFor('the refusal', () => times() > before)
    expect(broker.program.stderr.slice(broker.program.stderr.lastIndexOf('configuration not loaded anew'))).to.match(why)
  }

  it('are not opened with another login than the file asks for', async () => {
    const stage = await start()
    await stage.broker.reload({ listen_tcp: 0 })
    await refuse(stage, { listen_tcp: 1, auth_tcp: 'sasl' }, /listen_tcp cannot be turned on: auth_tcp has changed, which needs a restart/)
    expect(portsOf(stage)).to.deep.equal([])
    await stage.broker.reload({ listen_tcp: 1 })
    expect(portsOf(stage)).to.deep.equal([stage.broker.tcpPort])
  })

  it('on TCP go with listen_tcp, and come again, and clients that are there stay', async () => {
    const stage = await start()
    const { broker } = stage
    const { client } = await stage.open()
    await broker.reload({ listen_tcp: 0 })
    expect(portsOf(stage)).to.deep.equal([])
    expect(await canConnect(broker.tcpPort)).to.equal(false)
    await isServed(client)
    await broker.reload({ listen_tcp: 1 })
    await isServed((await stage.open()).client)
    await isServed(client)
  })

  it('move to another port with tcp_port, and clients that are there stay', async () => {
    const stage = await start()
    const { broker } = stage
    const { client } = await stage.open()
    const port = await freePort()
    await broker.reload({ tcp_port: String(port) })
    expect(portsOf(stage)).to.deep.equal([port])
    await isServed((await stage.open(port)).client)
    await isServed(client)
  })

  it('stay where they are on the addresses that are wanted still, and others come and go with listen_addr', async () => {
    const stage = await start()
    const { broker } = stage
    const { client } = await stage.open()
    await broker.reload({ listen_addr: '*' })
    expect(portsOf(stage)).to.deep.equal([broker.tcpPort, broker.tcpPort])
    const other = await stage.connect({ host: '127.0.0.2', port: broker.tcpPort })
    await other.call(REMOTE.authList)
    await broker.reload({ listen_addr: '127.0.0.1' })
    expect(portsOf(stage)).to.deep.equal([broker.tcpPort])
    await isServed((await stage.open()).client)
    for (const was of [client, other]) expect((await was.call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  it('change places with each other', async () => {
    const pki = await Pki.make(cleanup)
    const conf = await tlsConf(pki)
    const stage = await start({ ...conf, listen_tls: 1 })
    const { broker } = stage
    await broker.reload({ tls_port: String(broker.tcpPort), tcp_port: conf.tls_port! })
    const secure = await rawTlsClient(cleanup, broker.tcpPort, await pki.client())
    expect((await secure.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    await isServed((await stage.open(Number(conf.tls_port))).client)
  })

  it('on TLS come with all that they need: certificates, and SASL where nobody else has it', async () => {
    const pki = await Pki.make(cleanup)
    const sasl = await SaslFiles.create(cleanup, 'plain')
    const conf = await tlsConf(pki)
    const stage = await sasl.inUse(() => start({ ...conf, auth_tls: 'sasl' }))
    await refuse(stage, { listen_tls: 1, ca_file: '/none/here' }, /\/none\/here/)
    expect(portsOf(stage)).to.deep.equal([stage.broker.tcpPort])
    await stage.broker.reload({ listen_tls: 1 })
    expect(await mechanisms(await rawTlsClient(cleanup, Number(conf.tls_port), await pki.client()))).to.equal('PLAIN')
    await stage.broker.reload({})
    expect(portsOf(stage)).to.deep.equal([stage.broker.tcpPort])
    await isServed((await stage.open()).client)
  })

  it('are as they were when a port is taken, and so is everything else', async () => {
    const stage = await start(await tlsConf(await Pki.make(cleanup)))
    const { broker } = stage
    const { client } = await stage.open()
    const server = createServer().listen({ host: '127.0.0.1', port: await freePort() })
    await once(server, 'listening')
    cleanup.defer(() => Promise.resolve(void server.close()))
    const { port } = server.address() as { port: number }
    // All addresses take the place of one, before it turns out that another port cannot be had.
    const taken = new RegExp(`Unable to bind to port ${port} of [0-9.:]+: Address already in use`)
    await refuse(stage, { listen_addr: '*', listen_tls: 1, tls_port: String(port), driver_max_requests: 1 }, taken)
    await refuse(stage, { tcp_port: String(port) }, taken)
    expect(portsOf(stage)).to.deep.equal([broker.tcpPort])
    await isServed((await stage.open()).client)
    await isServed(client)
  })

  it('have as many places for those who wait as max_queued_clients says, and admin_max_queued_clients', async () => {
    const stage = await start({ max_queued_clients: 7, admin_max_queued_clients: 3 })
    const backlogs = async (): Promise<number[]> => {
      const { stdout } = await run(['ss', '-H', '-l', '-p', '-t', '-x'])
      const ours = stdout.split('\n').filter(line => line.includes(`pid=${stage.broker.program.pid},`))
      return ours.map(line => Number(line.split(/\s+/)[3])).sort((one, other) => one - other)
    }
    expect(await backlogs()).to.deep.equal([3, 7, 7, 7])
    await stage.broker.reload({ max_queued_clients: 70, admin_max_queued_clients: 30 })
    expect(await backlogs()).to.deep.equal([30, 70, 70, 70])
  })

  it('warn of what they open to everybody', async () => {
    const stage = await start({ listen_addr: '127.0.0.1' })
    await stage.broker.reload({ listen_addr: '*' })
    expect(stage.broker.program.stderr).to.match(/warning : .*listen_tcp with auth_tcp = "none" lets everybody on the network in/)
  })
})

describe('a file that cannot be used, at a reload', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is what systemd is told until one has been loaded that can', async () => {
    const receiver = new DatagramReceiver(join(await tempDir(cleanup), 'notify'))
    cleanup.defer(() => Promise.resolve(receiver.close()))
    const told: string[] = []
    const status = (what: RegExp): Promise<string> => waitFor(String(what), () => {
      for (let one; (one = receiver.receive()) !== undefined;) told.push(one)
      return told.find(text => what.test(text))
    })
    const stage = await Stage.start(cleanup, { log_level: 2 }, { env: { NOTIFY_SOCKET: receiver.path } })
    await stage.broker.signalReload({ driver_open_timeout: 0 })
    await status(/^STATUS=0 clients, 0 driver connections; the last reload failed: .*'driver_open_timeout' must be greater than 0/m)
    await stage.broker.signalReload({ driver_open_timeout: 0, driver_connect_timeout: 0 })
    await status(/^STATUS=0 clients, 0 driver connections; the last 2 reloads failed: .*'driver_connect_timeout' must be greater than 0/m)
    told.length = 0
    await stage.broker.reload({})
    await status(/^STATUS=0 clients, 0 driver connections$/m)
  })
})
