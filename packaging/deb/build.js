// What `npm run package:deb` runs: builds build/virtbroker_VERSION_ARCH.deb from this clone, with what Debian 12 has itself
// (dpkg-deb, gzip) and npm. docs/packages.md says what the options are for.
//
//   node packaging/deb/build.js [--arch amd64|arm64] [--version VERSION] [--out DIRECTORY] [--with-node] [--node DIRECTORY]
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync } from 'node:fs'
import { arch as ownArch } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { BundledNode } from '../bundled-node.js'
import { DOCS, epoch, fail, git, manifest, releasesScript, root, run, Stage } from '../stage.js'

/** Debian's name of an architecture, and Node's. */
const CPUS = { amd64: 'x64', arm64: 'arm64' }
const ownDebian = Object.keys(CPUS).find(name => CPUS[name] === ownArch())

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: ownDebian },
    version: { type: 'string', default: manifest.version },
    out: { type: 'string', default: join(root, 'build') },
    'with-node': { type: 'boolean', default: false },
    // The one that runs this.
    node: { type: 'string', default: dirname(dirname(realpathSync(process.execPath))) }
  }
})
const { arch, out } = options
if (!Object.hasOwn(CPUS, arch ?? '')) fail(`no packages are built for ${arch}: --arch ${Object.keys(CPUS).join(' or ')}`)
const cpu = CPUS[arch]
if (!/^[0-9][A-Za-z0-9.+~-]*$/.test(options.version)) fail(`${options.version} is no version of a Debian package`)
const node = options['with-node'] ? new BundledNode(options.node, cpu) : undefined
/** With a Node it is the same package, so that either takes the other's place like a new release. */
const version = node === undefined ? options.version : `${options.version}+node${node.version}`

const name = process.env.DEBFULLNAME ?? git('config', 'user.name') ?? 'virtbroker'
const mail = process.env.DEBEMAIL ?? git('config', 'user.email') ?? 'root@localhost'
const maintainer = `${name} <${mail}>`

const stage = new Stage({ version, cpu, node })

function putDocs() {
  stage.put(`${DOCS}/copyright`, `virtbroker, a broker for libvirt's remote protocol.

Copyright: the virtbroker authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.

${stage.licenses()}`)
  const date = new Date(1000 * epoch).toUTCString().replace('GMT', '+0000')
  const changes = '  * CHANGELOG.md tells what has changed.'
  stage.compressed(`${DOCS}/changelog`, `virtbroker (${version}) unstable; urgency=medium\n\n${changes}\n\n -- ${maintainer}  ${date}\n`)
  if (node !== undefined) stage.install('packaging/deb/lintian-overrides-with-node', '/usr/share/lintian/overrides/virtbroker')
}

const depends = node === undefined
  ? 'nodejs (>= 20.19), libc6'
  : `libc6 (>= ${node.glibc}), libgcc-s1, libstdc++6 (>= ${node.gcc})`

function control() {
  const size = Number(execFileSync('du', ['-sk', stage.tree], { encoding: 'utf8' }).split('\t')[0])
  return `Package: virtbroker
Version: ${version}
Architecture: ${arch}
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: ${depends}
Recommends: libvirt-daemon-system | libvirt-daemon-driver-qemu, libsasl2-2
Suggests: libvirt-clients, polkitd
Section: admin
Priority: optional
Description: broker for libvirt's remote protocol
 virtbrokerd accepts the clients of libvirt on UNIX sockets, TCP and TLS,
 authenticates them, and passes their calls on to the driver daemons of the
 host. It does the work of virtproxyd.
 .
 Installing it starts nothing: virtbroker-mode(8) switches it on, beside
 libvirtd or in the place of libvirtd and virtproxyd, and off again.
${node === undefined ? '' : ` .\n This build brings its own Node.js ${node.version}, for systems whose own is too old.\n`}`
}

function putControl() {
  stage.put('/DEBIAN/control', control())
  stage.put('/DEBIAN/conffiles', '/etc/default/virtbrokerd\n/etc/logrotate.d/virtbrokerd\n')
  for (const script of ['preinst', 'postinst', 'prerm', 'postrm']) {
    const text = readFileSync(join(import.meta.dirname, script), 'utf8').replace('@RELEASES@', releasesScript).replaceAll('@VERSION@', version)
    stage.put(`/DEBIAN/${script}`, text, 0o755)
  }
  const find = ['.', '-type', 'f', '!', '-path', './DEBIAN/*', '!', '-path', './etc/*', '-printf', '%P\\n']
  const files = execFileSync('find', find, { cwd: stage.tree, encoding: 'utf8' }).trim().split('\n')
  stage.put('/DEBIAN/md5sums', execFileSync('md5sum', files.sort(), { cwd: stage.tree, encoding: 'utf8' }))
}

await stage.fill()
stage.install('packaging/default', '/etc/default/virtbrokerd')
putDocs()
putControl()
mkdirSync(out, { recursive: true })
const file = join(out, `virtbroker_${version}_${arch}.deb`)
const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch) }
// Node is hardly smaller for the time that it takes otherwise.
const compression = ['-Zxz', node === undefined ? '-z6' : '-z1']
run('dpkg-deb', ['--build', '--root-owner-group', ...compression, stage.tree, file], { env })
process.stdout.write(`${file}\n`)
