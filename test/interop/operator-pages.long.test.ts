import { writeFile } from 'node:fs/promises'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { asRelease, debianPackage, versionOf } from '../support/built-packages.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import { confText } from '../support/conf-file.js'
import { guestXml } from '../support/guest.js'
import { install, VIRTPROXYD, VIRTQEMUD } from '../support/modular-host.js'
import { Page } from '../support/page.js'
import { mustRun, run } from '../support/processes.js'
import { debianRoot } from '../support/debian-root.js'

const PATIENCE_MS = 300_000
const GUEST = '11111111-aaaa-4aaa-8aaa-000000000001'
const QEMU_CONF = confText({
  user: 'root', group: 'root', security_driver: 'none', cgroup_controllers: [], namespaces: [], remember_owner: 0
})
const JOURNALD = ['systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket']

/** One Debian 13, with a guest that runs through it all, on which the pages are followed one after the other. */
describe('the pages for operators, on Debian 13', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  let host: BootedHost
  let guest: string
  const pages = new Map<string, Page>()
  after(() => cleanup.run())

  /** The processes of guests. */
  const guests = async (): Promise<string> => (await host.run(['pgrep', 'qemu'])).stdout.trim()

  /** As root, in a home with the packages. Questions are answered with yes. */
  const follow = (page: string, ...steps: string[]): Promise<void> => followIn('/root', page, ...steps)

  const followIn = (dir: string, page: string, ...steps: string[]): Promise<void> => {
    const options = { env: { ...clientEnv, HOME: '/root' }, input: 'y\n'.repeat(9), timeout: 150_000 }
    return pages.get(page)!.follow(steps, commands => host.run(['bash', '-e', '-c', `cd ${dir}\n${commands}`], options))
  }

  before(async () => {
    for (const page of ['install', 'secure', 'migrate', 'upgrade', 'tls']) pages.set(page, await Page.read(`${page}.md`))
    const deb = await debianPackage()
    const next = await asRelease(cleanup, deb, `${await versionOf(deb)}+1`)
    host = await BootedHost.start(cleanup, await debianRoot('trixie'))
    const root = `/proc/${host.pid}/root`
    await host.exec(['mkdir', '-p', '/root/new'])
    await mustRun(['cp', deb, `${root}/root/`])
    await mustRun(['cp', next, `${root}/root/new/`])
    await writeFile(`${root}/etc/libvirt/qemu.conf`, QEMU_CONF)
    await writeFile(`${root}/root/web.xml`, guestXml('web', GUEST, '', 'qemu'))
    await host.exec(['sh', '-c', 'echo 127.0.0.1 host.example >> /etc/hosts; useradd fred; useradd -G operator wilma'])
    await host.exec(['systemctl', 'unmask', ...JOURNALD])
    await host.exec(['systemctl', 'start', ...JOURNALD.slice(1), 'dbus.socket'])
    await host.exec(['systemctl', 'start', 'virtlogd.socket', 'libvirtd.socket', 'libvirtd-ro.socket'])
    await host.exec(['virsh', 'define', '/root/web.xml'])
    await host.exec(['virsh', 'start', 'web'])
    guest = await guests()
    expect(guest).to.match(/^\d+$/)
  })

  afterEach(async () => expect(await guests(), 'the guest').to.equal(guest))

  it('try it out of a clone, which this host sees', () =>
    followIn(new URL('../../../', import.meta.url).pathname, 'install', 'source-serve', 'source-stop'))

  it('install the package', () => follow('install', 'deb-install', 'deb-off', 'deb-beside', 'deb-check'))

  it('upgrade it, and go back', () =>
    follow('upgrade', 'package', 'restart', 'rollback', 'reload', 'draining', 'threads'))

  it('secure it', async () => {
    const tool = (await host.run(['which', 'certtool'])).status === 0 ? 'certtool' : 'openssl'
    await follow('tls', `${tool}-authority`, `${tool}-server`, `${tool}-client`, 'install-server', 'install-client')
    await follow('secure', 'tls-on', 'tls-see', 'tls-list', 'tcp-loopback', 'tcp-see', 'tcp-off', 'tcp-gone')
    await follow('secure', 'user', 'rule', 'sandbox', 'log', 'audit')
    expect((await run(host.inside(['virtbroker-mode']))).stdout).to.equal('beside\n')
  })

  it('migrate from libvirtd, and back', async () => {
    await host.exec(['sh', '-c', 'systemctl disable --now virtbrokerd-tls.socket; virtbroker-mode off'])
    await host.exec(['rm', '-f', '/etc/libvirt/virtbrokerd.conf'])
    await host.exec(['systemctl', 'stop', 'libvirtd.service'], { timeout: 120_000 })
    await host.exec(['systemctl', 'enable', '--now', 'libvirtd-tls.socket'])
    await follow('migrate', 'before', 'listeners', 'beside', 'settings', 'take-port', 'after', 'alias', 'give-back')
  })

  it('migrate from virtproxyd, and back', async () => {
    const units = ['libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket', 'libvirtd-tls.socket', 'libvirtd.service']
    await host.exec(['systemctl', 'disable', '--now', ...units], { timeout: 120_000 })
    await install(host, { ...VIRTQEMUD, ...VIRTPROXYD })
    await follow('migrate', 'proxy-before', 'instead', 'proxy-back')
  })

  it('remove it', () => follow('install', 'deb-remove', 'deb-purge'))
})
