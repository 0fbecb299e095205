import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { debianPackage, versionOf } from '../support/built-packages.js'
import { debianRoot, type Release } from '../support/debian-root.js'
import { BESIDE, type Calls, PackageHost, SYSTEM, toModularDaemons, toOneDaemon } from '../support/package-host.js'

const PATIENCE_MS = 900_000
/** For each release what the package for it is built with. */
const RELEASES: [Release, string[]][] = [['trixie', []], ['sid', []], ['bookworm', ['--with-node']]]
const SOCKETS = [
  'virtbrokerd.socket', 'virtbrokerd-ro.socket', 'virtbrokerd-admin.socket', 'virtbrokerd-tcp.socket', 'virtbrokerd-tls.socket'
]
const SERVED = { guests: 'guest', errors: '' }
/** How long nobody may answer in a switch: a daemon ends and another one starts. It is a second where nothing else goes on. */
const SWITCH_MS = 10_000

/** All are begun at once: one is made while another is used. */
let roots: Map<Release, Promise<string>> | undefined
function rootOf(release: Release): Promise<string> {
  roots ??= new Map(RELEASES.map(([release]) => [release, debianRoot(release)]))
  // Whoever waits for it hears of it.
  for (const root of roots.values()) root.catch(() => undefined)
  return roots.get(release)!
}

for (const [release, options] of RELEASES) {
  describe(`the Debian package on ${release}, with a guest that runs`, function () {
    this.timeout(PATIENCE_MS)
    const cleanup = new Cleanup()
    after(() => cleanup.run())
    let file: string
    let host: PackageHost
    /** The one that the broker is to run with. */
    let node: string
    let guest: string
    let filesBefore: string[]

    before(async () => {
      let root: string
      [file, root] = await Promise.all([debianPackage(...options), rootOf(release)])
      host = await PackageHost.start(cleanup, root)
      node = options.length === 0 ? '/usr/bin/node' : `/usr/lib/virtbroker/${await versionOf(file)}/bin/node`
      // The host may be this machine.
      if (options.length > 0) await host.exec('dpkg', '--purge', '--force-depends', 'nodejs')
      guest = await host.guest()
      filesBefore = await host.files()
    })

    afterEach('the guest runs on', async () => {
      expect(await host.guest()).to.equal(guest)
    })

    function expectUnnoticed({ calls, failures }: Calls): void {
      expect(failures).to.deep.equal([])
      // One meanwhile at least, and one after it.
      expect(calls).to.be.above(1)
    }

    it('is installed by apt without anybody noticing, and switches nothing on', async () => {
      expectUnnoticed(await host.whileCalled(SYSTEM, () => host.install(file)))
      for (const unit of SOCKETS) expect(await host.state(unit), unit).to.equal('disabled, inactive')
      expect(await host.mode()).to.equal('off')
      expect(await host.exec('virtbrokerd', '--version')).to.contain(await versionOf(file))
    })

    it('serves beside libvirtd, which nobody notices', async () => {
      expectUnnoticed(await host.whileCalled(SYSTEM, () => host.exec('virtbroker-mode', 'beside')))
      expect(await host.mode()).to.equal('beside')
      expect(await host.list(BESIDE)).to.include({ status: 0, stdout: 'guest\n\n', stderr: '' })
      expect(await host.exec('sh', '-c', 'readlink "/proc/$(systemctl show -P MainPID virtbrokerd.service)/exe"')).to.equal(node)
      expect(await host.state('virtbrokerd-ro.socket')).to.equal('enabled, active')
    })

    it('does not take libvirtd\'s place where that has the guests', async () => {
      const { status, stderr } = await host.host.run(['virtbroker-mode', 'instead'])
      expect(status).to.equal(1)
      expect(stderr).to.contain('libvirtd has the\nguests')
      expect(await host.mode()).to.equal('beside')
      expectUnnoticed(await host.whileCalled(BESIDE, async () => {
        await host.list(SYSTEM)
        await host.list(SYSTEM)
      }))
    })

    it('leaves the place to libvirtd if it cannot have all sockets', async () => {
      await toModularDaemons(host)
      const dropIn = '/run/systemd/system/virtbrokerd-admin.socket.d/taken.conf'
      await host.write(dropIn, '[Socket]\nListenStream=/proc/libvirt-admin-sock\n')
      const { status } = await host.host.run(['virtbroker-mode', 'instead'])
      expect(status).to.equal(1)
      expect(await host.mode()).to.equal('off')
      expect(await host.list(SYSTEM)).to.include({ status: 0, stdout: 'guest\n\n', stderr: '' })
      await host.exec('rm', dropIn)
      await toOneDaemon(host)
      await host.exec('virtbroker-mode', 'beside')
    })

    it('serves in the place of libvirtd after a short pause, and gives the place back', async () => {
      const were = await host.state('libvirtd.socket')
      const ofLibvirtd = host.connect(SYSTEM)
      expect(await ofLibvirtd()).to.deep.equal(SERVED)
      await toModularDaemons(host)
      expect((await host.whileCalled(SYSTEM, () => host.exec('virtbroker-mode', 'instead'))).pause).to.be.below(SWITCH_MS)
      expect((await ofLibvirtd()).errors).to.match(/Disconnected|Reconnected/)
      expect(await host.mode()).to.equal('instead')
      expect(await host.state('libvirtd.socket')).to.equal('disabled, inactive')
      expect(await host.state('virtbrokerd.service')).to.match(/, active$/)
      expect(await host.list(SYSTEM)).to.include({ status: 0, stdout: 'guest\n\n', stderr: '' })
      const ofTheBroker = host.connect(SYSTEM)
      expect(await ofTheBroker()).to.deep.equal(SERVED)
      const { pause } = await host.whileCalled(SYSTEM, async () => {
        await toOneDaemon(host)
        await host.exec('virtbroker-mode', 'off')
      })
      expect(pause).to.be.below(SWITCH_MS)
      expect((await ofTheBroker()).errors).to.match(/Disconnected|Reconnected/)
      expect(await host.mode()).to.equal('off')
      expect(await host.state('libvirtd.socket')).to.equal(were)
      expect(await host.list(SYSTEM)).to.include({ status: 0, stdout: 'guest\n\n', stderr: '' })
    })

    it('is removed while it is on, and purged without a trace', async () => {
      await host.exec('virtbroker-mode', 'beside')
      expect(await host.list(BESIDE)).to.include({ status: 0, stderr: '' })
      expectUnnoticed(await host.whileCalled(SYSTEM, () => host.exec('apt-get', 'remove', '--yes', 'virtbroker')))
      expect((await host.list(BESIDE)).status).to.equal(1)
      expectUnnoticed(await host.whileCalled(SYSTEM, () => host.exec('apt-get', 'purge', '--yes', 'virtbroker')))
      const before = new Set(filesBefore)
      expect((await host.files()).filter(file => !before.has(file) && file.includes('virtb'))).to.deep.equal([])
    })
  })
}
