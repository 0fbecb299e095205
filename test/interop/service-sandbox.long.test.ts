import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { Cleanup } from '../support/cleanup.js'
import { InstalledService, LOG } from '../support/installed-service.js'
import { Pki } from '../support/pki.js'
import { waitFor } from '../support/waiting.js'

const DATA = 8 << 20
const AUDIT = '/var/log/virtbroker/audit.json'
const AUTH = '[credentials-test]\nauthname=fred\npassword=secret\n[auth-libvirt-localhost]\ncredentials=test\n'

/** Everything that the broker does with the kernel's help, and what its sandbox must leave it. */
describe('the service in its sandbox', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  let host: BootedHost
  let service: InstalledService
  let pki: Pki
  before(async () => {
    pki = await Pki.make(cleanup)
    host = await BootedHost.start(cleanup)
  })
  after(() => cleanup.run())

  const score = async (): Promise<number> => {
    const { stdout } = await host.run(['systemd-analyze', 'security', 'virtbrokerd.service', '--no-pager'])
    return Number(/Overall exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1])
  }

  async function certificates(owner: string): Promise<void> {
    const [server, client] = [await pki.server(), await pki.client({}, { kind: 'rsa' })]
    await host.exec(['mkdir', '-p', '/etc/pki/CA', '/etc/pki/libvirt/private'])
    for (const [file, place] of [
      [pki.ca.certificate, 'CA/cacert.pem'],
      [server.certificate, 'libvirt/servercert.pem'], [server.key, 'libvirt/private/serverkey.pem'],
      [client.certificate, 'libvirt/clientcert.pem'], [client.key, 'libvirt/private/clientkey.pem']
    ] as const) await service.write(`/etc/pki/${place}`, readFileSync(file, 'latin1'))
    await host.exec(['chown', owner, '/etc/pki/libvirt/private/serverkey.pem'])
    await host.exec(['chmod', '400', '/etc/pki/libvirt/private/serverkey.pem'])
  }

  const virsh = (uri: string, ...command: string[]) => host.exec(['virsh', '-c', uri, ...command])
  const started = async (...more: string[]): Promise<void> => {
    const sockets = ['', '-ro', '-tcp', '-tls'].map(part => `virtbrokerd${part}.socket`)
    await service.systemctl('start', 'libvirtd.socket', 'libvirtd-ro.socket', ...sockets, ...more)
  }

  describe('as root', () => {
    before(async () => {
      service = await InstalledService.on(host, { embedded_test_driver: 1, log_outputs: `2:file:${LOG}`, log_level: 2 })
      await certificates('root')
      await service.write('/etc/sasl2/libvirt.conf', 'mech_list: digest-md5\nsasldb_path: /etc/libvirt/passwd.db\n')
      await host.exec(['saslpasswd2', '-c', '-p', '-a', 'libvirt', '-f', '/etc/libvirt/passwd.db', 'fred'], { input: 'secret' })
      await service.write('/etc/libvirt/auth.conf', AUTH)
      await started()
    })

    it('is started by the first client on the TLS socket, and lets clients in with their certificates', async () => {
      expect(await service.state()).to.equal('inactive')
      await virsh('qemu+tls://127.0.0.1/system', 'list')
      expect(await service.state()).to.equal('active')
      await service.hasSaid(/client \d+ at \S+: .*CN=/)
    })

    it('lets clients in with SASL, whose encryption they speak then', async () => {
      await virsh('qemu+tcp://localhost/system', 'list')
      await service.hasSaid(/fred/)
    })

    it('passes on uploads, which the kernel moves', async () => {
      await service.configure({ auth_tcp: 'none', log_outputs: `2:file:${LOG}`, log_level: 2 })
      await service.systemctl('restart', 'virtbrokerd.service')
      await host.exec(['sh', '-ec', `mkdir -p /root/pool; head -c ${DATA} /dev/urandom > /root/data`])
      const uri = 'qemu+tcp://localhost/system'
      await virsh(uri, 'pool-create-as', 'pool', 'dir', '--target', '/root/pool')
      await virsh(uri, 'vol-create-as', 'pool', 'volume', String(DATA))
      await virsh(uri, 'vol-upload', 'volume', '/root/data', '--pool', 'pool')
      await host.exec(['cmp', '/root/data', '/root/pool/volume'])
      await virsh(uri, 'vol-download', 'volume', '/root/back', '--pool', 'pool')
      await host.exec(['cmp', '/root/data', '/root/back'])
    })

    it('asks polkit who may come in over the main socket', async () => {
      await virsh('qemu+unix:///system?socket=/run/virtbroker/libvirt-sock', 'list')
      await service.hasSaid(/uid 0/)
    })

    it('writes its audit to a directory that only root sees', async () => {
      await service.configure({ auth_tcp: 'none', log_outputs: `2:file:${LOG}`, log_level: 2, audit_output: `file:${AUDIT}` })
      // That is told of it, and not waited for.
      await service.systemctl('reload', 'virtbrokerd.service')
      await waitFor('a record', async () => {
        await virsh('qemu+tcp://localhost/system', 'list')
        return (await host.run(['grep', 'CONNECT_OPEN.*"qemu:///system"', AUDIT])).status === 0
      })
      expect((await host.exec(['sh', '-c', `stat -c %a ${AUDIT} $(dirname ${AUDIT})`])).stdout).to.equal('600\n700\n')
    })

    it('has the embedded test driver as root, unless the unit is told otherwise', async () => {
      const conf = { embedded_test_driver: 1, auth_tcp: 'none', log_outputs: `2:file:${LOG}`, log_level: 2 }
      await service.configure(conf)
      const runsAs = async (): Promise<string> => {
        await service.systemctl('restart', 'virtbrokerd.service')
        await virsh('test+tcp://localhost/default', 'list')
        const processes = '/sys/fs/cgroup/system.slice/virtbrokerd.service/cgroup.procs'
        const find = `for pid in $(cat ${processes}); do stat -c %U /proc/$pid; done | sort -u | xargs`
        return (await host.exec(['sh', '-c', find])).stdout.trim()
      }
      expect(await runsAs()).to.equal('root')
      expect(await service.log()).to.match(/warning : .*root/)
      await service.override('virtbrokerd.service',
        '[Service]\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN\nSystemCallFilter=@setuid @chown\n')
      expect(await runsAs()).to.equal('nobody root')
    })

    it('has the score that its page says', async () => {
      await host.exec(['rm', '-r', '/etc/systemd/system/virtbrokerd.service.d'])
      await service.systemctl('daemon-reload')
      expect(await score()).to.be.at.most(2)
    })

    after(() => service.systemctl('stop', 'virtbrokerd.socket'))
  })

  describe('as another user', () => {
    it('lets clients in by group and certificates', async () => {
      await host.exec(['sh', '-ec', 'getent group libvirt || groupadd -r libvirt; id virtbroker || useradd -r -G libvirt virtbroker'])
      await host.exec(['mkdir', '-p', '/var/log/libvirt'])
      await host.exec(['chown', 'virtbroker', '/var/log/libvirt'])
      await host.exec(['rm', '-f', LOG])
      service = await InstalledService.on(host, { auth_tcp: 'none', log_outputs: `2:file:${LOG}`, log_level: 2 }, ['unprivileged'])
      await certificates('virtbroker')
      await started()
      await virsh('qemu+tls://127.0.0.1/system', 'list')
      await virsh('qemu+unix:///system?socket=/run/virtbroker/libvirt-sock', 'list')
      const pid = await service.property('MainPID')
      expect((await host.exec(['stat', '-c', '%U', `/proc/${pid}`])).stdout).to.equal('virtbroker\n')
      const uri = 'qemu+unix:///system?socket=/run/virtbroker/libvirt-sock'
      const stranger = ['setpriv', '--reuid', 'nobody', '--clear-groups', 'virsh', '-c', uri, 'list']
      expect((await host.run(stranger)).stderr).to.contain('Permission denied')
      expect(await score()).to.be.at.most(1.7)
    })
  })
})
