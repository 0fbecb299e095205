import { expect } from 'chai'
import { brokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { virshOk } from '../support/clients.js'
import { contentsOf, debianPackage, rpmPackage } from '../support/built-packages.js'
import { mustRun, Program } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const PATIENCE_MS = 300_000

describe('the rpm package', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let file: string

  before(async () => {
    file = await rpmPackage()
  })

  it('has the files of the Debian package in their places', async () => {
    const { stdout } = await mustRun(['rpm', '-qp', '--queryformat', '[%{FILEMODES:perms} %{FILENAMES}\n]', file])
    const own = stdout.trim().split('\n').map(line => line.split(' ')).filter(([mode]) => mode!.startsWith('-'))
    const debian = (await contentsOf(await debianPackage())).trim().split('\n').map(line => line.split(/\s+/))
      .filter(([mode]) => mode!.startsWith('-')).map(([mode, , , , , path]) => [mode!, path!.slice(1)])
    const others: Record<string, string> = {
      '/etc/default/virtbrokerd': '/etc/sysconfig/virtbrokerd',
      '/usr/share/doc/virtbroker/copyright': '/usr/share/doc/virtbroker/modules',
      '/usr/share/doc/virtbroker/changelog.gz': '/usr/share/licenses/virtbroker/LICENSE'
    }
    expect(own).to.have.deep.members(debian.map(([mode, path]) => [mode, others[path!] ?? path]))
  })

  it('keeps the release that a broker runs, and has no scripts that cannot be read', async () => {
    const { stdout } = await mustRun(['rpm', '-qp', '--scripts', file])
    const scripts = stdout.split(/^\w+ scriptlet \(using (\/bin\/sh)\):$/m)
    expect(scripts.filter(part => part === '/bin/sh')).to.have.length(4)
    for (const script of scripts.filter(part => part.trim() !== '' && part !== '/bin/sh')) await mustRun(['sh', '-n'], { input: script })
    expect(stdout).to.contain('keep_running').and.contain('settle')
  })

  it('has a broker that serves', async () => {
    const dir = await tempDir(cleanup)
    await mustRun(['sh', '-c', 'cd "$1" && rpm2cpio "$2" | cpio -idm --quiet', 'sh', dir, file])
    const { stdout } = await mustRun(['rpm', '-qp', '--queryformat', '%{VERSION}', file])
    const files = await brokerFiles(cleanup, { embedded_test_driver: 1 })
    const program = `${dir}/usr/lib/virtbroker/${stdout}/dist/main/virtbrokerd.js`
    const broker = new Program([process.execPath, program, '-f', files.file, '-p', files.pidFile])
    cleanup.defer(() => broker.stop())
    const socket = `${files.dir}/libvirt-sock`
    await waitFor('the broker', () => {
      if (broker.ended) throw new Error(broker.describe())
      return canConnect(socket)
    })
    expect(await virshOk(`test+unix:///default?socket=${socket}`, 'list --name')).to.contain('test')
  })
})
