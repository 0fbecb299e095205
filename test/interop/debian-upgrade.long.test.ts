import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { asRelease, debianPackage, versionOf } from '../support/built-packages.js'
import { debianRoot } from '../support/debian-root.js'
import { BESIDE, PackageHost } from '../support/package-host.js'
import { waitFor } from '../support/waiting.js'

const PATIENCE_MS = 900_000
const killer = new URL('../support/thread-killer.js', import.meta.url).pathname
const SERVED = { guests: 'guest', errors: '' }
const DROP_INS = '/run/systemd/system/virtbrokerd.service.d'
const LOG = '/var/log/libvirt/virtbrokerd.log'
/** Code that cannot work together with what runs. */
const FOREIGN = 'echo "throw new Error()" > workers/actor/actor-thread.js'

describe('a release of the Debian package that is installed under a broker with clients', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let host: PackageHost
  let version: string
  let guest: string
  /** The releases after it. */
  let next: string[]
  let client: ReturnType<PackageHost['connect']>

  before(async () => {
    const [file, root] = await Promise.all([debianPackage(), debianRoot('trixie')])
    version = await versionOf(file)
    next = [await asRelease(cleanup, file, `${version}+1`, FOREIGN), await asRelease(cleanup, file, `${version}+2`)]
    host = await PackageHost.start(cleanup, root)
    guest = await host.guest()
    await host.install(file)
    // With one thread, and that one can be ended from outside.
    await host.write('/etc/libvirt/virtbrokerd.conf', confText({ actor_threads: 1, log_level: 2, log_outputs: `2:file:${LOG}` }))
    const start = `/usr/bin/node --import ${killer} /usr/lib/virtbroker/${version}/dist/main/virtbrokerd.js --pid-file ""`
    await host.write(`${DROP_INS}/test.conf`, `[Service]\nExecStart=\nExecStart=${start}\n`)
    await host.exec('virtbroker-mode', 'beside')
    client = host.connect(BESIDE)
    expect(await client()).to.deep.equal(SERVED)
  })

  const releases = async (): Promise<string[]> => (await host.exec('ls', '-A', '/usr/lib/virtbroker')).split('\n')
  const mainPid = (): Promise<string> => host.exec('systemctl', 'show', '-P', 'MainPID', 'virtbrokerd.service')
  const running = async (): Promise<string> => host.exec('cat', `/proc/${await mainPid()}/cmdline`)

  async function killThread(): Promise<void> {
    const deaths = async (): Promise<number> => Number(await host.exec('sh', '-c', `grep -c "an actor thread died" ${LOG} || :`))
    const before = await deaths()
    await host.exec('systemctl', 'kill', '--kill-whom=main', '--signal=USR2', 'virtbrokerd.service')
    await waitFor('a thread to die', async () => (await deaths()) > before)
  }

  it('leaves it and them alone, and code of its own for threads that it starts anew', async () => {
    const pid = await mainPid()
    for (const [at, file] of next.entries()) {
      const { failures } = await host.whileCalled(BESIDE, () => host.install(file))
      expect(failures).to.deep.equal([])
      expect(await client()).to.deep.equal(SERVED)
      expect(await releases()).to.deep.equal([version, `${version}+${at + 1}`])
      await killThread()
      expect(await host.list(BESIDE)).to.include({ status: 0, stderr: '' })
      client = host.connect(BESIDE)
      expect(await client()).to.deep.equal(SERVED)
    }
    expect(await mainPid()).to.equal(pid)
  })

  it('logs on into a new file when the log is rotated', async () => {
    await host.exec('logrotate', '--force', '/etc/logrotate.d/virtbrokerd')
    expect(await host.exec('cat', `${LOG}.1`)).to.contain('an actor thread died')
    await host.list(BESIDE)
    await waitFor('a line in the new file', async () => (await host.exec('cat', LOG)).includes('logged in'))
  })

  it('is used after a restart, for which new clients wait', async () => {
    expect(await releases()).to.include(`${version}+2`)
    await host.exec('sh', '-c', `rm -r ${DROP_INS}; systemctl daemon-reload`)
    const { failures } = await host.whileCalled(BESIDE, () => host.exec('systemctl', 'restart', 'virtbrokerd.service'))
    // Those that were in already are seen off.
    for (const failure of failures) expect(failure).to.not.contain('Failed to connect socket')
    expect(await running()).to.contain(`/usr/lib/virtbroker/${version}+2/dist/`)
    expect((await client()).errors).to.match(/Disconnected|Reconnected/)
    expect(await host.list(BESIDE)).to.include({ status: 0, stderr: '' })
    await host.install(next[1]!)
    expect(await releases()).to.deep.equal([`${version}+2`])
    expect(await host.guest()).to.equal(guest)
  })
})
