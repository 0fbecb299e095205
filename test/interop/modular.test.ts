import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, virsh, virshOk } from '../support/clients.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { tempDir } from '../support/temp-dir.js'

/** A driver daemon: its driver, what it alone is told to make, how that is listed, and what the list must show. */
interface Module {
  scheme: string
  make?: string
  list: string
  shows: RegExp
}

const modules: readonly Module[] = [
  { scheme: 'qemu', make: 'define @/guest.xml', list: 'list --all', shows: /only-qemu/ },
  {
    scheme: 'storage', make: 'pool-define-as only-storage dir --target /nowhere',
    list: 'pool-list --all', shows: /only-storage/
  },
  { scheme: 'network', make: 'net-define @/net.xml', list: 'net-list --all', shows: /only-network/ },
  { scheme: 'secret', make: 'secret-define @/secret.xml', list: 'secret-list', shows: /ceph +only-secret/ },
  { scheme: 'nwfilter', make: 'nwfilter-define @/filter.xml', list: 'nwfilter-list', shows: /only-nwfilter/ },
  { scheme: 'nodedev', list: 'nodedev-list', shows: /^computer$/m },
  { scheme: 'interface', list: 'iface-list --all', shows: /\blo\b/ }
]

describe('a host with one daemon per driver, behind the broker', function () {
  this.timeout(60000)
  const cleanup = new Cleanup()
  const daemons = new Map<string, Libvirtd>()
  let host: PrivateHost
  let broker: Broker

  before(async () => {
    host = await PrivateHost.start(cleanup)
    await startVirtlogd(host, cleanup)
    const dir = await tempDir(cleanup)
    const files = {
      'guest.xml': guestXml('only-qemu', '55555555-aaaa-4aaa-8aaa-000000000001'),
      'net.xml': "<network><name>only-network</name><bridge name='vbonly0'/></network>",
      'secret.xml': "<secret><usage type='ceph'><name>only-secret</name></usage></secret>",
      'filter.xml': "<filter name='only-nwfilter'><rule action='drop' direction='in'><all/></rule></filter>"
    }
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
    for (const { scheme, make } of modules) {
      const daemon = await Libvirtd.start(host, cleanup, { name: `virt${scheme}d`, drivers: [scheme] })
      daemons.set(scheme, daemon)
      await symlink(daemon.socket, join(dir, `virt${scheme}d-sock`))
      await symlink(daemon.roSocket, join(dir, `virt${scheme}d-sock-ro`))
      if (make !== undefined) await virshOk(daemon.uri(scheme, '/system'), make.replaceAll('@/', `${dir}/`))
    }
    broker = await Broker.start(cleanup, { driver_socket_dir: dir, unix_sock_dir: join(host.dir, 'run') })
  })

  after(() => cleanup.run())

  for (const { scheme, list, shows } of modules) {
    it(`shows what virt${scheme}d has to who opens ${scheme}:///system`, async () => {
      const direct = await virshOk(daemons.get(scheme)!.uri(scheme, '/system'), list)
      expect(direct).to.match(shows)
      expect(await virshOk(broker.tcpUri(scheme, '/system'), list), 'over TCP').to.equal(direct)
      expect(await virshOk(broker.unixUri(scheme, '/system'), list), 'over UNIX').to.equal(direct)
      const readonly = await virsh(broker.unixUri(scheme, '/system'), list, { readonly: true })
      expect(readonly, 'read-only').to.include({ status: 0, stdout: direct })
    })
  }

  it('refuses to virtnetworkd\'s clients what only virtqemud knows', async () => {
    const { status, stderr } = await virsh(broker.tcpUri('network', '/system'), 'list --all')
    expect(status).to.equal(1)
    expect(stderr).to.contain('this function is not supported by the connection driver: virConnectNumOfDomains')
  })

  it('gives the hypervisor to a client without a URI, and tells it which that is', async () => {
    // Such a client looks for libvirt-sock at the usual place: the broker's directory, as seen on the private host.
    const local = async (...command: string[]): Promise<string> =>
      (await host.exec(['virsh', ...command], { env: clientEnv })).stdout
    expect(await local('list', '--all')).to.match(/only-qemu/)
    expect((await local('uri')).trim()).to.equal('qemu:///system')
    expect((await local('-r', 'uri')).trim(), 'read-only').to.equal('qemu:///system')
  })

  it('gives the hypervisor to a client whose URI names no driver', async () => {
    expect(await virshOk(`remote+tcp://127.0.0.1:${broker.tcpPort}/`, 'list --all'), 'TCP').to.match(/only-qemu/)
    expect(await virshOk(`remote+unix:///?socket=${broker.socket}`, 'list --all'), 'UNIX').to.match(/only-qemu/)
  })

  it('tells who opens lxc:///system that there is no such daemon', async () => {
    const { status, stderr } = await virsh(broker.tcpUri('lxc', '/system'), 'list')
    expect(status).to.equal(1)
    expect(stderr).to.match(/Failed to connect socket to '.*\/virtlxcd-sock': No such file or directory/)
  })

  it('keeps serving the other drivers when one daemon is killed, and that one when it is back', async () => {
    const network = daemons.get('network')!
    await network.stop('SIGKILL')
    const refused = await virsh(broker.tcpUri('network', '/system'), 'net-list')
    expect(refused.status).to.equal(1)
    expect(refused.stderr).to.match(/Failed to connect socket to '.*\/virtnetworkd-sock': Connection refused/)
    expect(await virshOk(broker.tcpUri('storage', '/system'), 'pool-list --all')).to.match(/only-storage/)
    await network.restart()
    expect(await virshOk(broker.tcpUri('network', '/system'), 'net-list --all')).to.match(/only-network/)
  })
})
