import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { rpcError } from '#protocol/errors.js'
import { REMOTE } from '#protocol/procedures.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { FakeDriver } from '../support/fake-driver.js'
import { freePort } from '../support/free-port.js'
import { Libvirtd } from '../support/libvirtd.js'
import { Pki } from '../support/pki.js'
import { PrivateHost } from '../support/private-host.js'
import { Program, run } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const tool = new URL('../../bench/tool/main.js', import.meta.url).pathname

interface Ended { status: number; stdout: string; stderr: string }

interface Figures { count: number; failures: number; firstFailure?: string; rate: number; latency: Record<string, number> }

interface Told { clients: number; opening: Figures; calls?: Figures; warnings: string[] }

const load = (...args: string[]): Promise<Ended> =>
  new Promise(resolve =>
    execFile(process.execPath, [tool, ...args], (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
    )
  )

async function figures(...args: string[]): Promise<Told> {
  const { status, stdout, stderr } = await load(...args, '--json')
  expect(status, stderr + stdout).to.equal(0)
  return JSON.parse(stdout) as Told
}

// Figures must come out; how good they are is not a test's business.
describe('npm run load', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let host: PrivateHost
  let broker: Broker
  let pki: Pki
  let tlsPort: number
  before(async () => {
    host = await PrivateHost.start(cleanup)
    const daemon = await Libvirtd.start(host, cleanup, { drivers: [] })
    pki = await Pki.make(cleanup)
    tlsPort = await freePort()
    const { certificate, key } = await pki.server()
    broker = await Broker.start(cleanup, {
      driver_sockets: [`*=${daemon.socket}`], listen_tls: 1, tls_port: String(tlsPort),
      ca_file: pki.ca.certificate, cert_file: certificate, key_file: key
    })
    await waitFor('the TLS listener', () => canConnect(tlsPort))
  })
  after(() => cleanup.run())

  it('calls at the rate that it is told, over TCP', async () => {
    const { opening, calls } = await figures(broker.tcpUri('test', '/default'), '--clients', '20', '--rate', '10', '--duration', '1')
    expect([opening.count, opening.failures]).to.deep.equal([20, 0])
    expect([calls!.count, calls!.failures]).to.deep.equal([200, 0])
    expect(calls!.latency.p50).to.be.above(0).and.at.most(calls!.latency.max!)
  })

  it('calls as fast as it is answered, over TLS and UNIX, and where polkit asks for nothing', async () => {
    const asking = await Libvirtd.start(host, cleanup, { name: 'asking', drivers: [], conf: { auth_unix_rw: 'polkit' } })
    const pkipath = await pki.pkipath(await pki.client({ country: 'GB', organization: 'Red Hat', cn: 'client1' }))
    const uris = [
      `test+tls://localhost:${tlsPort}/default?pkipath=${pkipath}`, `test:///default?socket=${broker.socket}`,
      asking.uri('test', '/default')
    ]
    for (const uri of uris) {
      const { opening, calls } = await figures(uri, '--clients', '3', '--duration', '0.2')
      expect([opening.count, opening.failures, calls!.failures], uri).to.deep.equal([3, 0, 0])
      expect(calls!.count, uri).to.be.at.least(3)
    }
  })

  it('sends arguments, and tells the first failure in the words of the server', async () => {
    const uri = broker.tcpUri('test', '/default')
    const name = Buffer.from('nobody\0\0')
    const args = Buffer.concat([Buffer.from([0, 0, 0, 6]), name]).toString('hex')
    const { status, stdout } = await load(uri, '--procedure', 'domain_lookup_by_name', '--arguments', args, '--duration', '0.1', '--json')
    const { calls } = JSON.parse(stdout) as Told
    expect([status, calls!.failures]).to.deep.equal([1, calls!.count])
    expect(calls!.firstFailure).to.match(/^Domain not found/)
  })

  it('says why nobody is let in, and ends with 1', async () => {
    const port = await freePort()
    const refused = await load(`test+tcp://127.0.0.1:${port}/default`)
    expect(refused.status).to.equal(1)
    expect(refused.stdout).to.match(/first: Connection refused/)
    const unknown = await load(broker.tcpUri('qemu', '/system'), '--clients', '2')
    expect(unknown.status).to.equal(1)
    expect(unknown.stdout).to.match(/first: CONNECT_OPEN was refused: /)
    const plain = await load(`test+tls://127.0.0.1:${broker.tcpPort}/default`)
    expect([plain.status, /first: TLS handshake failed: .+/.test(plain.stdout)], plain.stdout).to.deep.equal([1, true])
    const daemon = await FakeDriver.listen(cleanup, join(await tempDir(cleanup), 'sock'))
    daemon.on(REMOTE.authList, () => rpcError('not today'))
    const unwilling = await load(`test:///default?socket=${daemon.path}`)
    expect(unwilling.status).to.equal(1)
    expect(unwilling.stdout).to.match(/first: AUTH_LIST was refused: .*not today/)
  })

  it('ends early when it is interrupted, with what there is', async () => {
    const program = new Program([process.execPath, tool, broker.tcpUri('test', '/default'), '--duration', '60', '--json'])
    await program.hasSaid(/[1-9]\d* calls of 1 clients/)
    await program.stop('SIGINT')
    expect((await program.exited).status).to.equal(0)
    const { opening, calls, warnings } = JSON.parse(program.stdout) as Told
    expect([opening.count, calls!.failures]).to.deep.equal([1, 0])
    expect(calls!.count).to.be.above(0)
    expect(warnings).to.include('it was ended early: these are the figures until then')
  })

  it('prints a table and writes a page with a plot', async () => {
    const file = join(await tempDir(cleanup), 'load.html')
    const { status, stdout } = await load(broker.tcpUri('test', '/default'), '--duration', '0.2', '--page', file)
    expect(status).to.equal(0)
    expect(stdout).to.match(/\| opening +\| ms \| +1\.00 \| +0\.00 \|/).and.match(/\| calls +\| ms \|/)
    expect(await readFile(file, 'utf8')).to.match(/^<!doctype html>[^]*<svg/)
  })

  it('refuses what it cannot do with 2, before it connects', async () => {
    const uri = broker.tcpUri('test', '/default')
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[], /missing required argument/], [['here'], /no URI/], [['qemu+ssh://host/system'], /no transport 'ssh'/],
      [[uri, '--clients', '0'], /whole|more than 0/], [[uri, '--rate', 'x'], /more than 0/],
      [[uri, '--procedure', 'NOTHING'], /no procedure 'NOTHING'/], [[uri, '--procedure', 'DOMAIN_GET_INFO'], /needs arguments/],
      [[uri, '--procedure', 'CONNECT_OPEN'], /cannot be called again and again/],
      [[uri, '--procedure', 'DOMAIN_DESTROY', '--arguments', '00'], /--allow-changes/],
      [[uri, '--arguments', 'xyz'], /hexadecimal/], [[`test+tls://localhost/default?pkipath=/nowhere`], /no clientcert\.pem/],
      [['test+tcp://127.0.0.1:99999/default'], /no port 99999/], [[`test:///default?socket=/${'x'.repeat(107)}`], /up to 107 bytes/],
      [[uri, '--page', '/nowhere/load.html'], /ENOENT/]
    ]
    await Promise.all(cases.map(async ([args, message]) => {
      const { status, stderr } = await load(...args)
      expect([status, stderr], args.join(' ')).to.satisfy(([code, text]: [number, string]) => code === 2 && message.test(text))
    }))
    const few = await run(['sh', '-c', `ulimit -n 400; exec "$@"`, 'sh', process.execPath, tool, uri, '--clients', '400'])
    expect([few.status, few.stderr]).to.deep.equal([2, 'load: descriptors for no more than 336 clients: see ulimit -n\n'])
  })
})
