import { readFile } from 'node:fs/promises'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { Cleanup } from '../support/cleanup.js'
import { InstalledService, LOG } from '../support/installed-service.js'
import { Pki } from '../support/pki.js'
import type { Outcome } from '../support/processes.js'

const CONF = { auth_unix_rw: 'none', auth_unix_ro: 'none', log_outputs: `2:file:${LOG}` }
const SOCKETS = ['virtbrokerd.socket', 'virtbrokerd-ro.socket', 'virtbrokerd-admin.socket', 'virtbrokerd-tls.socket']

describe('virtbrokerctl on a host with systemd', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  let host: BootedHost
  let service: InstalledService
  before(async () => {
    host = await BootedHost.start(cleanup)
    service = await InstalledService.on(host, CONF)
    const pki = await Pki.make(cleanup)
    const { certificate, key } = await pki.server({ expiration_days: 300 })
    await host.exec(['mkdir', '-p', '/etc/pki/CA', '/etc/pki/libvirt/private'])
    await service.write('/etc/pki/CA/cacert.pem', await readFile(pki.ca.certificate, 'utf8'))
    await service.write('/etc/pki/libvirt/servercert.pem', await readFile(certificate, 'utf8'))
    await service.write('/etc/pki/libvirt/private/serverkey.pem', await readFile(key, 'utf8'))
    await service.systemctl('start', 'libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket', ...SOCKETS)
  })
  after(() => cleanup.run())

  const ctl = (...args: string[]): Promise<Outcome> =>
    host.run(['/usr/lib/virtbroker/node', '/usr/lib/virtbroker/dist/main/virtbrokerctl.js', ...args])

  it('finds the broker beside libvirtd, whose admin socket is another', async () => {
    expect((await ctl('status')).stdout).to.match(/^state +serving$/m)
    const { stderr } = await ctl('--socket', '/run/libvirt/libvirt-admin-sock', 'status')
    expect(stderr).to.contain('is not the admin socket of a virtbrokerd')
    await service.systemctl('stop', 'libvirtd.service')
  })

  it('finds all in order, tells who has which socket, and starts no libvirtd for that', async () => {
    const { status, stdout } = await ctl('doctor')
    const found = stdout.split('\n')
    expect({ status, wrong: found.filter(line => line.startsWith('DO')) }, stdout).to.deep.equal({ status: 0, wrong: [] })
    for (const name of ['libvirt-sock', 'libvirt-sock-ro', 'libvirt-admin-sock']) {
      const who = `^ok {2}sockets +/run/virtbroker/${name}: virtbrokerd \\(process \\d+, virtbrokerd\\.service\\)$`
      expect(stdout).to.match(new RegExp(who, 'm'))
      expect(stdout).to.match(new RegExp(`^ok {2}sockets +/run/libvirt/${name}: systemd, for libvirtd.*\\.socket$`, 'm'))
    }
    expect(stdout).to.match(/^ok {2}drivers +\/run\/libvirt\/libvirt-sock: systemd, for libvirtd\.socket, libvirt \d+\.\d+\.\d+$/m)
    expect(stdout).to.match(/^ok {2}certificates +\/etc\/pki\/libvirt\/servercert\.pem \(server\) ends .*; chain and key fit$/m)
    expect(stdout).to.match(/^ok {2}ports +\S+:16514 \(tls\): virtbrokerd \(process \d+, virtbrokerd\.service\)$/m)
    for (const unit of ['virtbrokerd.service', ...SOCKETS]) expect(stdout).to.match(new RegExp(`^ok {2}units +${unit}: active, `, 'm'))
    expect(await service.state('libvirtd.service')).to.equal('inactive')
  })

  it('says what is wrong where the broker does not start', async () => {
    // As on any host; those of tests have no limit.
    await service.override('virtbrokerd.service', '[Unit]\nStartLimitIntervalSec=10s\n')
    await service.write('/etc/libvirt/virtbrokerd.conf', 'max_clients = = 3\n')
    await service.systemctl('stop', 'virtbrokerd.service')
    await host.run(['systemctl', 'start', 'virtbrokerd.service'])
    await service.becomes('failed')
    const { status, stdout } = await ctl('doctor')
    expect(status).to.equal(4)
    expect(stdout).to.match(/^-- {2}broker +none answers: /m)
    expect(stdout).to.match(/^DO {2}configuration +.*syntax error.* -> correct the file$/m)
    expect(stdout).to.match(/^DO {2}units +virtbrokerd\.service: failed, .* -> journalctl -u virtbrokerd\.service$/m)
  })
})
