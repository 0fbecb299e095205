import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { mustRun, type Outcome, run } from '../support/processes.js'
import { projectCopy } from '../support/project-copy.js'
import { trixieRoot } from '../support/trixie.js'

const PATIENCE_MS = 900_000
const SOCKETS = [
  'virtbrokerd.socket', 'virtbrokerd-ro.socket', 'virtbrokerd-admin.socket', 'virtbrokerd-tcp.socket', 'virtbrokerd-tls.socket'
]
const BESIDE = 'qemu+unix:///system?socket=/run/virtbroker/libvirt-sock'
const killer = new URL('../support/thread-killer.js', import.meta.url).pathname

/** A driver daemon of its own, as a host with modular daemons has it. libvirtd plays it. */
const VIRTQEMUD = {
  'virtqemud.socket': `[Socket]
ListenStream=/run/libvirt/virtqemud-sock
FileDescriptorName=libvirtd.socket
RemoveOnStop=yes
Service=virtqemud.service
[Install]
WantedBy=sockets.target
`,
  'virtqemud.service': `[Service]
ExecStart=/usr/sbin/libvirtd --timeout 120 --pid-file /run/virtqemud.pid
`
}

describe('the Debian package', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let project: string
  let version: string
  let host: BootedHost
  /** By version, for this machine. */
  const packages = new Map<string, string>()

  async function build(...options: string[]): Promise<string> {
    const { stdout } = await mustRun(['npm', 'run', '--silent', 'package:deb', '--', ...options], { cwd: project, timeout: PATIENCE_MS })
    return stdout.trim()
  }

  before(async () => {
    project = await projectCopy(cleanup)
    version = (JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { version: string }).version
    for (const one of [version, `${version}+1`, `${version}+2`]) packages.set(one, await build('--version', one))
  })

  const contents = async (file: string): Promise<string> => (await mustRun(['dpkg-deb', '--contents', file])).stdout

  it('has what is needed, and no more', async () => {
    const list = (await contents(packages.get(version)!)).trim().split('\n').map(line => line.split(/\s+/)[5]!.slice(1))
    const own = `/usr/lib/virtbroker/${version}`
    const files = list.filter(file => !file.endsWith('/') && !file.startsWith(`${own}/node_modules/`) && !file.startsWith(`${own}/dist/`))
    const units = (await run(['sh', '-c', `cd ${project}/packaging/systemd; find instead unprivileged -type f`])).stdout.trim().split('\n')
    expect(files).to.have.members([
      `${own}/package.json`, '/usr/sbin/virtbrokerd', '/usr/sbin/virtbrokerctl', '/usr/sbin/virtbroker-mode',
      ...['virtbrokerd.service', ...SOCKETS].map(unit => `/usr/lib/systemd/system/${unit}`),
      '/usr/lib/systemd/catalog/virtbroker.catalog',
      '/usr/lib/systemd/user/virtbrokerd.service', '/usr/lib/systemd/user/virtbrokerd.socket',
      ...units.map(file => `/usr/share/virtbroker/systemd/${file}`),
      '/usr/share/virtbroker/grafana/virtbroker.json', '/usr/share/virtbroker/prometheus/virtbroker.rules.yml',
      '/etc/default/virtbrokerd', '/etc/logrotate.d/virtbrokerd',
      ...['virtbrokerd.8', 'virtbrokerctl.8', 'virtbroker-mode.8'].map(page => `/usr/share/man/man8/${page}.gz`),
      '/usr/share/man/man5/virtbrokerd.conf.5.gz',
      ...['virtbrokerd', 'virtbrokerctl', 'virtbroker-mode'].map(program => `/usr/share/bash-completion/completions/${program}`),
      ...['copyright', 'changelog.gz', 'examples/virtbrokerd.conf'].map(file => `/usr/share/doc/virtbroker/${file}`)
    ])
    const modules = list.filter(file => file.startsWith(`${own}/node_modules/`))
    const koffi = `${own}/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node`
    expect(modules.filter(file => file.endsWith('.node'))).to.deep.equal([koffi])
    expect(modules.filter(file => /\.(ts|map|md|h|cc)$/.test(file) && !/licen[cs]e\.md$/i.test(file))).to.deep.equal([])
  })

  it('has no errors that lintian knows', async () => {
    const { status, stdout } = await run(['lintian', '--fail-on', 'error', packages.get(version)!], { timeout: PATIENCE_MS })
    expect({ status, errors: stdout.split('\n').filter(line => line.startsWith('E:')) }).to.deep.equal({ status: 0, errors: [] })
  })

  it('is built for arm64 as well', async () => {
    const file = await build('--arch', 'arm64')
    const binaries = (await contents(file)).trim().split('\n').filter(line => line.endsWith('.node'))
    expect(binaries).to.have.length(1)
    expect(binaries[0]).to.contain('/koffi-linux-arm64/linux_arm64/koffi.node')
    const dir = `${project}/arm64`
    await mustRun(['dpkg-deb', '--extract', file, dir])
    const { stdout } = await mustRun(['sh', '-c', `readelf -h $(find ${dir} -name koffi.node)`])
    expect(stdout).to.match(/Machine: +AArch64/)
  })

  describe('on Debian 13', () => {
    before(async () => {
      host = await BootedHost.start(cleanup, await trixieRoot())
      await host.exec(['mkdir', '/packages'])
      for (const file of packages.values()) {
        await mustRun(['cp', file, `/proc/${host.pid}/root/packages/`])
      }
      await host.exec(['systemctl', 'start', 'libvirtd.socket', 'libvirtd-ro.socket'])
    })

    const dpkg = (...args: string[]): Promise<Outcome> => host.exec(['dpkg', ...args], { timeout: 120_000 })
    const install = (which: string): Promise<Outcome> => dpkg('--install', `/packages/virtbroker_${which}_amd64.deb`)
    const list = (uri: string): Promise<Outcome> => host.run(['virsh', '-c', uri, 'list', '--all'])
    const mode = async (): Promise<string> => (await host.exec(['virtbroker-mode'])).stdout.trim()
    const state = async (unit: string): Promise<string> => {
      const { stdout } = await host.run(['sh', '-c', `systemctl is-enabled ${unit}; systemctl is-active ${unit}`])
      return stdout.trim().replace('\n', ', ')
    }
    /** All files that are no business of dpkg's and systemd's own. */
    const files = async (): Promise<string[]> => {
      const others = ['/var/lib/dpkg/*', '/var/log/*', '/var/cache/*'].map(path => `-not -path "${path}"`).join(' ')
      const { stdout } = await host.exec(['sh', '-c', `find /etc /usr /var -xdev ${others}`])
      return stdout.trim().split('\n').sort()
    }
    let filesBefore: string[]

    /** Calls libvirtd again and again while something is done. */
    async function whileOthersCall(what: () => Promise<unknown>): Promise<void> {
      let over = false
      let calls = 0
      const loop = async (): Promise<void> => {
        for (; !over; calls++) expect(await list('qemu:///system'), 'beside it').to.include({ status: 0, stderr: '' })
      }
      await Promise.all([loop(), what().finally(() => (over = true))])
      expect(calls).to.be.above(0)
    }

    it('is installed without anybody noticing, and switches nothing on', async () => {
      filesBefore = await files()
      await whileOthersCall(() => install(version))
      for (const unit of SOCKETS) expect(await state(unit), unit).to.equal('disabled, inactive')
      expect(await mode()).to.equal('off')
      expect((await host.exec(['virtbrokerd', '--version'])).stdout).to.contain(version)
      expect(await state('libvirtd.socket')).to.match(/, active$/)
    })

    it('serves beside libvirtd', async () => {
      await whileOthersCall(() => host.exec(['virtbroker-mode', 'beside']))
      expect(await mode()).to.equal('beside')
      expect(await list(BESIDE)).to.include({ status: 0, stderr: '' })
      expect(await state('virtbrokerd-ro.socket')).to.equal('enabled, active')
    })

    it('leaves a broker that runs its own code when it is replaced, and takes that away later', async () => {
      const mainPid = async (): Promise<string> =>
        (await host.exec(['systemctl', 'show', '-P', 'MainPID', 'virtbrokerd.service'])).stdout.trim()
      const releases = async (): Promise<string> =>
        (await host.exec(['ls', '-A', '/usr/lib/virtbroker'])).stdout.trim().replaceAll('\n', ' ')
      // One of which a thread can be ended from outside.
      await host.exec(['tee', '/etc/other.conf'], { input: confText({
        unix_sock_dir: '/run/other', embedded_test_driver: 1, auth_unix_rw: 'none', actor_threads: 1, log_outputs: '2:stderr', log_level: 2
      }) })
      const program = `/usr/lib/virtbroker/${version}/dist/main/virtbrokerd.js`
      const other = host.spawn(['node', '--import', killer, program, '-f', '/etc/other.conf', '-p', '/run/other.pid'])
      // Signals to what has been spawned here do not get there.
      const end = (): Promise<Outcome> => host.run(['sh', '-c', 'kill $(cat /run/other.pid)'])
      cleanup.defer(end)
      await other.hasSaid('ready, with')
      expect((await list(BESIDE)).status).to.equal(0)
      const pid = await mainPid()
      await whileOthersCall(() => install(`${version}+1`))
      expect(await mainPid()).to.equal(pid)
      expect(await releases()).to.equal(`${version} ${version}+1`)
      await host.exec(['sh', '-c', 'kill -USR2 $(cat /run/other.pid)'])
      await other.hasSaid('an actor thread died')
      expect(await list('test+unix:///default?socket=/run/other/libvirt-sock')).to.include({ status: 0, stderr: '' })
      await end()
      await other.exited
      await host.exec(['systemctl', 'restart', 'virtbrokerd.service'])
      expect(await list(BESIDE)).to.include({ status: 0, stderr: '' })
      await install(`${version}+2`)
      expect(await releases()).to.equal(`${version}+1 ${version}+2`)
      await host.exec(['rm', '-r', '/etc/other.conf'])
    })

    it('does not take libvirtd\'s place where that has the guests', async () => {
      const { status, stderr } = await host.run(['virtbroker-mode', 'instead'])
      expect(status).to.equal(1)
      expect(stderr).to.contain('libvirtd has the\nguests')
      expect(await mode()).to.equal('beside')
      expect(await list('qemu:///system')).to.include({ status: 0 })
    })

    it('serves in the place of libvirtd, and gives the place back', async () => {
      for (const [unit, text] of Object.entries(VIRTQEMUD)) await host.exec(['tee', `/etc/systemd/system/${unit}`], { input: text })
      await host.exec(['systemctl', 'daemon-reload'])
      await host.exec(['systemctl', 'enable', '--now', 'virtqemud.socket'])
      const were = { socket: await state('libvirtd.socket'), service: await state('libvirtd.service') }
      await host.exec(['virtbroker-mode', 'instead'])
      expect(await mode()).to.equal('instead')
      expect(await state('libvirtd.socket')).to.equal('disabled, inactive')
      // Left alone, virsh would go to the driver daemon itself.
      expect(await list('qemu+unix:///system?socket=/run/libvirt/libvirt-sock')).to.include({ status: 0, stderr: '' })
      expect(await state('virtbrokerd.service')).to.match(/, active$/)
      await host.exec(['systemctl', 'disable', '--now', 'virtqemud.socket', 'virtqemud.service'])
      await host.exec(['sh', '-c', 'rm /etc/systemd/system/virtqemud.*; systemctl daemon-reload'])
      await host.exec(['virtbroker-mode', 'off'])
      expect(await mode()).to.equal('off')
      expect({ socket: await state('libvirtd.socket'), service: await state('libvirtd.service') }).to.deep.equal(were)
      expect(await list('qemu:///system')).to.include({ status: 0, stderr: '' })
    })

    it('is removed while it is on, and purged without a trace', async () => {
      await host.exec(['virtbroker-mode', 'beside'])
      expect(await list(BESIDE)).to.include({ status: 0, stderr: '' })
      await dpkg('--remove', 'virtbroker')
      expect((await list(BESIDE)).status).to.equal(1)
      expect(await list('qemu:///system')).to.include({ status: 0, stderr: '' })
      await dpkg('--purge', 'virtbroker')
      const after = await files()
      expect(after.filter(file => !filesBefore.includes(file) && /virtb/.test(file))).to.deep.equal([])
      expect(after.filter(file => /virtbroker/.test(file))).to.deep.equal([])
    })
  })
})
