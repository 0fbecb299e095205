import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { runPython, virshOk } from '../support/clients.js'
import { DriverRelay } from '../support/driver-relay.js'
import { freePort } from '../support/free-port.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { fetchPage } from '../support/metrics.js'
import { PrivateHost } from '../support/private-host.js'
import { Program } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

/** Which part of the calls goes by connections that clients share; of virsh's, virsh-parity shows it. */
const LEAST_SHARED = 0.85
/** Scrapes of an exporter, and rounds of nova's periodic tasks. */
const ROUNDS = 10

// Besides virsh, these are who calls libvirt on hosts with many clients.
describe('on shared driver connections', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let dir: string
  let uri: string
  let relay: DriverRelay
  let earlier = { shared: 0, own: 0 }

  const disk = (name: string, target: string): string => `<disk type='file' device='disk'><driver name='qemu' type='raw'/>
    <source file='${dir}/${name}'/><target dev='${target}' bus='virtio'/></disk>`

  before(async () => {
    dir = await tempDir(cleanup)
    const host = await PrivateHost.start(cleanup)
    await startVirtlogd(host, cleanup)
    const daemon = await Libvirtd.start(host, cleanup)
    relay = await DriverRelay.listen(cleanup, join(dir, 'libvirt-sock'), daemon.socket)
    const broker = await Broker.start(cleanup, { driver_sockets: [`*=${dir}/libvirt-sock`], driver_sharing: 'identity' })
    uri = broker.tcpUri('qemu', '/system')
    for (const name of ['first', 'second', 'third']) await writeFile(join(dir, name), Buffer.alloc(1 << 20))
    await writeFile(join(dir, 'resident.xml'), guestXml('resident', '77777777-aaaa-4aaa-8aaa-000000000001', disk('first', 'vda')))
    await writeFile(join(dir, 'guest.xml'), guestXml('instance', '77777777-aaaa-4aaa-8aaa-000000000002', disk('second', 'vda')))
    await writeFile(join(dir, 'disk.xml'), disk('third', 'vdb'))
    await virshOk(uri, `define ${dir}/resident.xml; start resident`)
  })
  after(() => cleanup.run())
  beforeEach(() => { earlier = relay.calls })

  const expectMostShared = (): void => {
    const shared = relay.calls.shared - earlier.shared
    const own = relay.calls.own - earlier.own
    expect(shared).to.be.greaterThan(ROUNDS)
    expect(shared / (shared + own), `${shared} on shared ones, ${own} on others`).to.be.greaterThan(LEAST_SHARED)
  }

  it('nearly all calls of prometheus-libvirt-exporter are made', async () => {
    const port = await freePort()
    const exporter = new Program(['prometheus-libvirt-exporter', `--web.listen-address=127.0.0.1:${port}`, `--libvirt.uri=${uri}`])
    cleanup.defer(() => exporter.stop())
    await waitFor('the exporter', () => canConnect(port))
    for (let round = 0; round < ROUNDS; round++) {
      const { body } = await fetchPage(port, '/metrics')
      expect(body).to.contain('libvirt_up 1').and.to.contain('libvirt_domain_info_virtual_cpus{domain="resident"')
    }
    expectMostShared()
  })

  it('nearly all calls of nova-compute\'s start, periodic tasks and a guest\'s life are made', async () => {
    const { status, stderr } = await runPython('nova.py', [uri, join(dir, 'guest.xml'), join(dir, 'disk.xml'), String(ROUNDS)])
    expect(status, stderr).to.equal(0)
    expectMostShared()
  })
})
