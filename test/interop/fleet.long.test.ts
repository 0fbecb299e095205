import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { DebianRelease } from '../support/debian-release.js'
import { clientAddresses } from '../support/fleet-addresses.js'
import { Fleet, type FleetBroker, type FleetClients } from '../support/fleet.js'
import { Pki } from '../support/pki.js'
import { run, type Outcome } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const CLIENTS = 1000

describe('two brokers behind HAProxy', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let fleet: Fleet
  let first: FleetBroker
  let second: FleetBroker
  let clients: FleetClients

  before(async () => {
    fleet = await Fleet.start(cleanup)
    first = await fleet.addBroker({ drain_delay: 3, max_clients_per_address: 1 })
    second = await fleet.addBroker({ max_clients_per_address: 1 })
    await fleet.balance('virtbroker.cfg')
    clients = fleet.clients(CLIENTS)
  })
  after(() => cleanup.run())

  const addresses = clientAddresses(CLIENTS).sort()

  it('have half of the clients each, and know where each of them is', async () => {
    const { failed, refused } = await clients.callAll()
    expect([failed, refused]).to.deep.equal([0, 0])
    const [here, there] = [await first.clients(), await second.clients()]
    expect([...here, ...there].sort()).to.deep.equal(addresses)
    expect(here.length).to.be.within(CLIENTS / 2 - 20, CLIENTS / 2 + 20)
    await waitFor('the audit log', async () => (await first.audited()).length + (await second.audited()).length === CLIENTS)
    expect([...await first.audited(), ...await second.audited()].sort()).to.deep.equal(addresses)
  })

  it('limit clients where they are, and say so in the log', async () => {
    // One at each is let in.
    const more = [fleet.clients(1), fleet.clients(1)]
    for (const { program } of more) program.child.stdin.write('call\n')
    const refusal = /10\.9\.0\.1:\d+: refused, address 10\.9\.0\.1 has 1 connections/
    await waitFor('a refusal', () => [first, second].some(({ program }) => refusal.test(program.stderr)))
    for (const { program } of more) await program.stop('SIGKILL')
    await waitFor('their end', async () => (await first.clients()).length + (await second.clients()).length === CLIENTS)
  })

  it('lose the clients of the one that is killed, and no others, who come back to the other', async () => {
    const before = await clients.tally()
    const had = (await second.clients()).length
    second.program.child.kill('SIGKILL')
    const { ends, ms } = await clients.callAll()
    expect(ends - before.ends).to.equal(had)
    expect((await first.clients()).sort()).to.deep.equal(addresses)
    console.log(`      ${had} clients were back after ${ms} ms`)
  })

  it('take clients again after a start', async () => {
    await second.restart()
    const more = fleet.clients(10)
    await waitFor('new clients', async () => {
      more.program.child.stdin.write('call\n')
      return (await second.clients()).length === 10
    })
    await more.program.stop('SIGKILL')
    // They have addresses of others, of which each may come once.
    await waitFor('their end', async () => (await second.clients()).length === 0)
  })

  it('cost nobody a call when one of them is stopped in order', async () => {
    const before = await clients.tally()
    first.program.child.kill('SIGTERM')
    await waitFor('all at the other', async () => (await second.clients()).length === CLIENTS)
    const { ends, failed, refused } = await clients.callAll()
    expect([ends - before.ends, failed - before.failed, refused - before.refused]).to.deep.equal([CLIENTS, 0, 0])
    expect((await first.program.exited).status).to.equal(0)
  })
})

describe('a broker behind HAProxy of Debian 13, where TLS ends', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let fleet: Fleet
  let broker: FleetBroker
  let pki: Pki

  before(async () => {
    pki = await Pki.make(cleanup)
    const release = await DebianRelease.unpacked('trixie')
    fleet = await Fleet.start(cleanup)
    broker = await fleet.addBroker({ proxy_tls_identity: 1, auth_tcp: 'sasl', tls_allowed_dn_list: ['*CN=alice*'] })
    const server = await pki.server({ ip_address: '10.0.100.1' })
    const dir = join(fleet.dir, 'haproxy')
    await mkdir(dir)
    await writeFile(join(dir, 'server.pem'), (await readFile(server.certificate, 'utf8')) + (await readFile(server.key, 'utf8')))
    await copyFile(pki.ca.certificate, join(dir, 'clients-ca.pem'))
    await fleet.balance('virtbroker-tls.cfg', { PKI: dir }, release.command('haproxy'))
  })
  after(() => cleanup.run())

  /** virsh, with a certificate of this name and authority. */
  async function virsh(cn: string, by = pki.ca): Promise<Outcome> {
    const dir = await tempDir(cleanup)
    const { certificate, key } = await pki.client({ cn, organization: 'Example' }, { by, kind: 'rsa' })
    for (const [from, to] of [[pki.ca.certificate, 'cacert'], [certificate, 'clientcert'], [key, 'clientkey']] as const) {
      await copyFile(from, join(dir, `${to}.pem`))
    }
    return run(fleet.client.inside(['virsh', '-c', `test+tls://10.0.100.1/default?pkipath=${dir}`, 'domstate', 'test']))
  }

  it('lets virsh in, and knows it by its certificate and its address', async () => {
    const { status, stdout, stderr } = await virsh('alice')
    expect([status, stdout.trim()], stderr).to.deep.equal([0, 'running'])
    const client = await waitFor('its end', async () => {
      const closed = await broker.ctl.json<{ user?: string; peer: string }[]>('clients', '--closed')
      return closed.find(({ user }) => user === 'O=Example,CN=alice')
    })
    expect(client.peer).to.match(/^10\.0\.100\.2:/)
    // As of a client whose TLS ends at the broker.
    const certificate = /"certificate":\{"serial_number":"[0-9A-F]+","subject":"O=Example,CN=alice"\}/
    await waitFor('the audit log', async () => certificate.test(await readFile(join(broker.dir, 'audit.json'), 'utf8')))
  })

  it('does not let in whom the list of names, or the authority, does not', async () => {
    expect((await virsh('mallory')).status).to.equal(1)
    await broker.program.hasSaid(/not on the list of allowed clients.* \(O=Example,CN=mallory\)/)
    expect((await virsh('alice', await pki.authority('Another CA'))).status).to.equal(1)
  })
})
