// What `npm run package:rpm` runs: builds build/virtbroker-VERSION-1.ARCH.rpm from this clone, with rpmbuild and npm.
//
//   node packaging/rpm/build.js [--arch x86_64|aarch64] [--version VERSION] [--out DIRECTORY]
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { arch as ownArch } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { DOCS, epoch, fail, manifest, releasesScript, root, run, Stage } from '../stage.js'

/** An architecture's name in packages, and Node's. */
const CPUS = { x86_64: 'x64', aarch64: 'arm64' }

const { values: { arch, version, out } } = parseArgs({
  options: {
    arch: { type: 'string', default: Object.keys(CPUS).find(name => CPUS[name] === ownArch()) },
    version: { type: 'string', default: manifest.version },
    out: { type: 'string', default: join(root, 'build') }
  }
})
if (!Object.hasOwn(CPUS, arch ?? '')) fail(`no packages are built for ${arch}: --arch ${Object.keys(CPUS).join(' or ')}`)
if (!/^[0-9][A-Za-z0-9.+~]*$/.test(version)) fail(`${version} is no version of an rpm package`)

const stage = new Stage({ version, cpu: CPUS[arch] })
await stage.fill()
stage.install('packaging/default', '/etc/sysconfig/virtbrokerd')
stage.install('LICENSE', '/usr/share/licenses/virtbroker/LICENSE')
stage.put(`${DOCS}/modules`, stage.licenses())

/** What the spec does not name itself: of whole directories the directory. */
const files = readdirSync(stage.tree, { recursive: true, withFileTypes: true })
  .filter(file => file.isFile())
  .map(file => `${file.parentPath}/${file.name}`.slice(stage.tree.length))
  .filter(path => !path.startsWith('/etc/') && !path.startsWith(`${stage.home}/`))
const values = { VERSION: version, TREE: stage.tree, DOCS, FILES: files.sort().join('\n'), RELEASES: releasesScript() }
const spec = join(stage.dir, 'virtbroker.spec')
writeFileSync(spec, readFileSync(join(import.meta.dirname, 'virtbroker.spec'), 'utf8').replace(/@([A-Z]+)@/g, (_, name) => values[name]))
const top = join(stage.dir, 'rpmbuild')
const settings = { _topdir: top, use_source_date_epoch_as_buildtime: 1, _buildhost: 'localhost', _binary_payload: 'w9.xzdio' }
const defines = Object.entries(settings).flatMap(([name, value]) => ['--define', `${name} ${value}`])
const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch) }
run('rpmbuild', ['-bb', '--quiet', '--target', arch, ...defines, spec], { env })
const name = `virtbroker-${version}-1.${arch}.rpm`
mkdirSync(out, { recursive: true })
copyFileSync(join(top, 'RPMS', arch, name), join(out, name))
process.stdout.write(`${join(out, name)}\n`)
