import { realpathSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { contentsOf, debianPackage, versionOf } from '../support/built-packages.js'
import { mustRun, run } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'

const PATIENCE_MS = 300_000
const SOCKETS = [
  'virtbrokerd.socket', 'virtbrokerd-ro.socket', 'virtbrokerd-admin.socket', 'virtbrokerd-tcp.socket', 'virtbrokerd-tls.socket'
]
const packaging = new URL('../../../packaging', import.meta.url).pathname

/** Of the Node that runs this. */
const header = join(dirname(dirname(realpathSync(process.execPath))), 'include/node/node_version.h')

describe('the Debian package', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('has what is needed, and no more', async () => {
    const file = await debianPackage()
    const list = (await contentsOf(file)).trim().split('\n').map(line => line.split(/\s+/)[5]!.slice(1))
    const own = `/usr/lib/virtbroker/${await versionOf(file)}`
    const files = list.filter(file => !file.endsWith('/') && !file.startsWith(`${own}/node_modules/`) && !file.startsWith(`${own}/dist/`))
    const page = (await readdir(`${packaging}/page`)).filter(file => file !== 'tsconfig.json')
    const units = (await run(['sh', '-c', `cd ${packaging}/systemd; find instead unprivileged -type f`])).stdout.trim().split('\n')
    expect(files).to.have.members([
      ...page.map(file => `${own}/packaging/page/${file}`),
      `${own}/package.json`, '/usr/sbin/virtbrokerd', '/usr/sbin/virtbrokerctl', '/usr/sbin/virtbroker-mode',
      ...['virtbrokerd.service', ...SOCKETS].map(unit => `/usr/lib/systemd/system/${unit}`),
      '/usr/lib/systemd/catalog/virtbroker.catalog',
      '/usr/lib/systemd/user/virtbrokerd.service', '/usr/lib/systemd/user/virtbrokerd.socket',
      ...units.map(file => `/usr/share/virtbroker/systemd/${file}`),
      '/usr/share/virtbroker/grafana/virtbroker.json', '/usr/share/virtbroker/prometheus/virtbroker.rules.yml',
      ...['virtbroker.cfg', 'virtbroker-tls.cfg'].map(file => `/usr/share/virtbroker/haproxy/${file}`),
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

  for (const options of [[], ['--with-node']]) {
    it(`has no errors that lintian knows ${options.join()}`.trim(), async () => {
      const { status, stdout } = await run(['lintian', '--fail-on', 'error', await debianPackage(...options)], { timeout: PATIENCE_MS })
      expect({ status, errors: stdout.split('\n').filter(line => line.startsWith('E:')) }).to.deep.equal({ status: 0, errors: [] })
    })
  }

  it('brings a Node with its license where the system\'s is too old, and no other than an official build', async () => {
    const { stdout: fields } = await mustRun(['dpkg-deb', '--field', await debianPackage('--with-node'), 'Version', 'Depends'])
    expect(fields).to.contain(`+node${process.versions.node}\n`)
    expect(fields).to.match(/^Depends: libc6 \(>= 2\.\d+\), libgcc-s1, libstdc\+\+6 \(>= \d+\)$/m)
    const dir = await tempDir(cleanup)
    await mustRun(['dpkg-deb', '--extract', await debianPackage('--with-node'), dir])
    expect(await readFile(join(dir, 'usr/share/doc/virtbroker/copyright'), 'utf8'))
      .to.contain(`is Node.js ${process.versions.node}`).and.contain('Copyright Node.js contributors')
    const foreign = 'mkdir -p include/node bin; touch LICENSE; cp "$1" include/node; cp /usr/bin/virsh bin/node'
    await mustRun(['sh', '-c', foreign, 'sh', header], { cwd: dir })
    const refused = await run([process.execPath, `${packaging}/deb/build.js`, '--with-node', '--node', dir, '--out', dir])
    expect(refused.status).to.equal(1)
    expect(refused.stderr).to.match(/needs .* and .*: it is a distribution's own, not an official build/)
  })

  it('is built for arm64 as well', async () => {
    const file = await debianPackage('--arch', 'arm64')
    const binaries = (await contentsOf(file)).trim().split('\n').filter(line => line.endsWith('.node'))
    expect(binaries).to.have.length(1)
    expect(binaries[0]).to.contain('/koffi-linux-arm64/linux_arm64/koffi.node')
    const dir = await tempDir(cleanup)
    await mustRun(['dpkg-deb', '--extract', file, dir])
    const { stdout } = await mustRun(['sh', '-c', `readelf -h $(find ${dir} -name koffi.node)`])
    expect(stdout).to.match(/Machine: +AArch64/)
  })
})
