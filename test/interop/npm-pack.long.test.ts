import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { brokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, virshOk } from '../support/clients.js'
import { Page } from '../support/page.js'
import { mustRun, Program, run } from '../support/processes.js'
import { projectCopy } from '../support/project-copy.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const PATIENCE_MS = 300_000
/** Those that write sources, and what `npm start` of a clone runs. */
const NOT_NEEDED = ['main/generate', 'main/log/catalog', 'protocol/procedure-generator', 'main/quickstart', 'main/demonstration']

describe('what npm pack makes', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let project: string
  let tarball: string

  before(async () => {
    project = await projectCopy(cleanup)
    await mkdir(join(project, 'dist/main'), { recursive: true })
    await writeFile(join(project, 'dist/main/of-yesterday.js'), '')
    const { stdout } = await mustRun(['npm', 'pack', '--json'], { cwd: project, timeout: PATIENCE_MS })
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
    tarball = join(project, filename)
  })

  it('is what is needed, and no more', async () => {
    const { stdout } = await mustRun(['tar', '-tf', tarball])
    const files = stdout.trim().split('\n').map(file => file.replace(/^package\//, ''))
    const sources = await readdir(join(project, 'src'), { recursive: true })
    const modules = sources.filter(file => /(?<!\.d)\.ts$/.test(file)).map(file => file.slice(0, -3))
    const built = modules.filter(name => !NOT_NEEDED.includes(name)).map(name => `dist/${name}.js`)
    expect(files.filter(file => file.startsWith('dist/') && file.endsWith('.js'))).to.have.members(built)
    const pageFiles = (await readdir(join(project, 'packaging/page'))).filter(file => file !== 'tsconfig.json')
    const page = pageFiles.map(file => `packaging/page/${file}`)
    expect(files.filter(file => file.startsWith('packaging/page/'))).to.have.members(page)
    const others = files.filter(file => !/^packaging\/(systemd|page)\//.test(file) && !file.endsWith('.js'))
    expect(others).to.have.members([
      'package.json', 'README.md', 'LICENSE', 'packaging/virtbrokerd.conf', 'packaging/completion/virtbrokerd',
      'packaging/grafana/virtbroker.json', 'packaging/prometheus/virtbroker.rules.yml', 'packaging/kubernetes/virtbroker.yaml',
      'packaging/haproxy/virtbroker.cfg', 'packaging/haproxy/virtbroker-tls.cfg',
      'packaging/completion/virtbrokerctl',
      'dist/man/virtbrokerd.8', 'dist/man/virtbrokerctl.8', 'dist/man/virtbrokerd.conf.5'
    ])
  })

  it('is installed by npm, and runs', async () => {
    const prefix = await tempDir(cleanup)
    const install = ['npm', 'install', '-g', '--prefix', prefix, '--no-audit', '--no-fund', '--prefer-offline', tarball]
    await mustRun(install, { timeout: PATIENCE_MS })
    const program = join(prefix, 'bin/virtbrokerd')
    const { version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { version: string }
    expect((await mustRun([program, '--version'])).stdout).to.equal(`virtbrokerd (virtbroker) ${version}\n`)
    expect(await readdir(join(prefix, 'share/man/man8'))).to.have.members(['virtbrokerd.8', 'virtbrokerctl.8'])
    expect(await readdir(join(prefix, 'share/man/man5'))).to.deep.equal(['virtbrokerd.conf.5'])
    const { dir, file, pidFile } = await brokerFiles(cleanup, { embedded_test_driver: 1 })
    const broker = new Program([program, '-f', file, '-p', pidFile])
    cleanup.defer(() => broker.stop())
    const socket = join(dir, 'libvirt-sock')
    await waitFor('the broker', () => {
      if (broker.ended) throw new Error(broker.describe())
      return canConnect(socket)
    })
    expect(await virshOk(`test+unix:///default?socket=${socket}`, 'list --name')).to.contain('test')
  })

  it('is installed, with its units, and upgraded as the pages say', async () => {
    const host = await BootedHost.start(cleanup)
    await mustRun(['cp', tarball, `/proc/${host.pid}/root/root/`])
    await host.exec(['sh', '-c', 'rm -f /etc/systemd/system/virtbrokerd* /usr/sbin/virtbrokerd; systemctl start libvirtd.socket'])
    const options = { env: { ...process.env, ...clientEnv, HOME: '/root' }, timeout: PATIENCE_MS }
    // npm needs the network.
    const outside = (commands: string): string[] =>
      host.inside(['bash', '-e', '-c', `cd /root\n${commands}`]).filter(argument => argument !== '-n')
    const follow = async (page: string, ...steps: string[]): Promise<void> =>
      (await Page.read(page)).follow(steps, commands => run(outside(commands), options))
    await follow('install.md', 'npm-install', 'npm-units')
    await follow('upgrade.md', 'npm')
    await follow('install.md', 'npm-remove')
  })
})
