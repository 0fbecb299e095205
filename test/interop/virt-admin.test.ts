import { join } from 'node:path'
import { expect } from 'chai'
import { Administered, expectSame } from '../support/administered.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { interactiveVirsh } from '../support/clients.js'
import { freePort } from '../support/free-port.js'
import { Libvirtd } from '../support/libvirtd.js'
import { Pki } from '../support/pki.js'
import { PrivateHost } from '../support/private-host.js'
import { SAME } from './commands/virt-admin.js'

/** virt-admin of this system with a real libvirtd, and with the broker in its place. */
describe('virt-admin', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let libvirtd: Administered
  let virtproxyd: Administered
  let broker: Broker

  before(async () => {
    const host = await PrivateHost.start(cleanup, { ownPids: false })
    const real = await Libvirtd.start(host, cleanup, { drivers: [] })
    broker = await Broker.start(cleanup, { embedded_test_driver: 1, actor_threads: 2, log_outputs: '3:stderr' })
    libvirtd = new Administered('libvirtd', join(real.socketDir, 'libvirt-admin-sock'), real.uri('test', '/default'))
    virtproxyd = new Administered('virtproxyd', join(broker.dir, 'libvirt-admin-sock'), broker.unixUri('test', '/default'))
  })
  after(() => cleanup.run())

  const both = async <T>(act: (daemon: Administered) => Promise<T>): Promise<[T, T]> => [await act(libvirtd), await act(virtproxyd)]

  it('prints the same for each command, whether it succeeds or not', async () => {
    await expectSame(cleanup, libvirtd, virtproxyd, SAME)
  })

  it('lists both servers', async () => {
    expect(await both(daemon => daemon.servers())).to.deep.equal([['admin', 'libvirtd'], ['admin', 'virtproxyd']])
  })

  it('says which version it talks to', async () => {
    const { stdout, status } = await virtproxyd.virtAdmin('version')
    expect(stdout).to.match(/Running against daemon: 12\.8\.0\n/)
    expect(status).to.equal(0)
  })

  it('shows the same of a client, and then what only the broker has', async () => {
    const [its, ours] = await both(daemon => daemon.onlyClient(cleanup))
    const info = async (daemon: Administered, id: string): Promise<string[]> => {
      const lines = await daemon.lines('client-info', daemon.server, id)
      return lines.map(line => line.replace(/^(id|connection_time|unix_process_id)( *): .*/, '$1$2: X'))
    }
    const [expected, found] = [await info(libvirtd, its.id), await info(virtproxyd, ours.id)]
    expect(found.slice(0, expected.length)).to.deep.equal(expected)
    const names = found.slice(expected.length).map(line => line.split(':')[0]!.trim())
    // For so many the tool leaves room.
    expect(Math.max(...names.map(({ length }) => length))).to.be.at.most(15)
    expect(names).to.deep.equal([
      'state', 'thread', 'driver', 'uri', 'calls_in_flight', 'calls_waiting', 'streams', 'bytes_in', 'bytes_out', 'idle_seconds'
    ])
  })

  it('shows the address of a client that came by TCP', async () => {
    const client = await interactiveVirsh(broker.tcpUri('test', '/default'))
    cleanup.defer(() => client.stop())
    const last = (await virtproxyd.ids()).at(-1)!
    const { stdout } = await virtproxyd.virtAdmin('client-info', 'virtproxyd', last)
    expect(stdout).to.match(/^transport *: tcp$/m).and.match(/^sock_addr *: 127\.0\.0\.1:\d+$/m)
  })

  it('shows who came by TLS, and how that is protected', async () => {
    const pki = await Pki.make(cleanup)
    const [server, client] = [await pki.server(), await pki.client({ country: 'GB', cn: 'client1' })]
    const port = await freePort()
    const { dir } = await Broker.start(cleanup, {
      embedded_test_driver: 1, listen_tls: 1, tls_port: String(port), auth_tls: 'none',
      ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key
    })
    const admin = new Administered('virtproxyd', join(dir, 'libvirt-admin-sock'), '')
    const uri = `test+tls://127.0.0.1:${port}/default?no_sanity=1&pkipath=${await pki.pkipath(client)}`
    for (const [wanted, version, cipher] of [
      ['NORMAL:-VERS-ALL:%2BVERS-TLS1.3:-CIPHER-ALL:%2BAES-128-GCM', 'TLSv1.3', 'TLS_AES_128_GCM_SHA256'],
      ['NORMAL:-VERS-ALL:%2BVERS-TLS1.2:-CIPHER-ALL:%2BAES-256-GCM:-KX-ALL:%2BECDHE-RSA', 'TLSv1.2', 'ECDHE-RSA-AES256-GCM-SHA384']
    ] as const) {
      const virsh = await interactiveVirsh(`${uri}&tls_priority=${wanted}`)
      cleanup.defer(() => virsh.stop())
      const { stdout } = await admin.virtAdmin('client-info', 'virtproxyd', (await admin.ids()).at(-1)!)
      const field = (name: string): string | undefined => new RegExp(`^${name} *: (.*)$`, 'm').exec(stdout)?.[1]
      expect(['transport', 'tls_x509_dname', 'tls_version', 'tls_cipher', 'driver'].map(field)).to.deep.equal([
        'tls', 'C=GB,CN=client1', version, cipher, join(dir, 'virttestd-sock')
      ])
    }
  })

  it('finds the broker by each of its names', async () => {
    for (const name of ['libvirt-admin-sock', 'virtproxyd-admin-sock']) {
      const { status } = await new Administered('virtproxyd', join(broker.dir, name), '').virtAdmin('server-list')
      expect(status, name).to.equal(0)
    }
  })

  it('shows the workers by libvirt\'s names', async () => {
    const [expected, found] = await both(async daemon => {
      const lines = await daemon.lines('server-threadpool-info', daemon.server)
      return lines.map(line => line.split(':')[0]!.trim())
    })
    expect(found).to.deep.equal(expected)
  })
})
