// What `npm run package:deb` runs: builds build/virtbroker_VERSION_ARCH.deb from this clone, with what Debian 12 has itself
// (dpkg-deb, gzip) and npm. Nothing of the clone but build/ is written to.
//
//   node packaging/deb/build.js [--arch amd64|arm64] [--version VERSION] [--out DIRECTORY]
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { arch as ownArch, tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { writePages } from '../man/make.js'

const root = join(import.meta.dirname, '../..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** Debian's name of an architecture, and Node's. */
const CPUS = { amd64: 'x64', arm64: 'arm64' }
const ownDebian = Object.keys(CPUS).find(name => CPUS[name] === ownArch())

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: ownDebian },
    version: { type: 'string', default: manifest.version },
    out: { type: 'string', default: join(root, 'build') }
  }
})
const { arch, version, out } = options
if (!Object.hasOwn(CPUS, arch ?? '')) fail(`no packages are built for ${arch}: --arch ${Object.keys(CPUS).join(' or ')}`)
if (!/^[0-9][A-Za-z0-9.+~-]*$/.test(version)) fail(`${version} is no version of a Debian package`)

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

const run = (program, args, more = {}) => execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], ...more })

/** Undefined where nobody has said, or there is no git. */
function git(...args) {
  try {
    return execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() || undefined
  } catch {
    return undefined
  }
}

const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct') ?? Math.floor(Date.now() / 1000))
const name = process.env.DEBFULLNAME ?? git('config', 'user.name') ?? 'virtbroker'
const mail = process.env.DEBEMAIL ?? git('config', 'user.email') ?? 'root@localhost'
const maintainer = `${name} <${mail}>`

const stage = mkdtempSync(join(tmpdir(), 'virtbroker-deb-'))
process.on('exit', () => rmSync(stage, { recursive: true, force: true }))
const tree = join(stage, 'tree')
/** Each release has a directory of its own: a broker that runs goes on with the code that it was started with. */
const home = `/usr/lib/virtbroker/${version}`
const docs = '/usr/share/doc/virtbroker'

const at = path => join(tree, path)

function put(path, text, mode = 0o644) {
  mkdirSync(dirname(at(path)), { recursive: true })
  writeFileSync(at(path), text)
  chmodSync(at(path), mode)
}

const install = (from, path, mode) => put(path, readFileSync(join(root, from)), mode)
const compressed = (path, text) => {
  put(path, text)
  run('gzip', ['-9', '-n', at(path)])
}

/** The program, without what only a clone needs (see "files" in package.json). */
function putProgram() {
  // What is built in the clone is left alone.
  const dir = join(stage, 'program')
  mkdirSync(dir)
  for (const part of ['src', 'package.json', 'tsconfig.json']) cpSync(join(root, part), join(dir, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const plain = ['--incremental', 'false', '--tsBuildInfoFile', 'null', '--declaration', 'false', '--sourceMap', 'false']
  run(process.execPath, [tsc, '-p', dir, ...plain], { stdio: ['ignore', 2, 'inherit'] })
  cpSync(join(dir, 'dist'), at(`${home}/dist`), { recursive: true })
  for (const pattern of manifest.files.filter(pattern => pattern.startsWith('!'))) rmSync(at(`${home}/${pattern.slice(1)}`))
  const { name, version: own, license, type, imports } = manifest
  // What --version says is what dpkg says.
  const shown = version === own ? own : version
  put(`${home}/package.json`, `${JSON.stringify({ name, version: shown, license, type, imports }, null, 2)}\n`)
  put('/usr/sbin/virtbrokerd', `#!/bin/sh\nexec /usr/bin/node ${home}/dist/main/virtbrokerd.js "$@"\n`, 0o755)
  put('/usr/sbin/virtbrokerctl', `#!/bin/sh\nexec /usr/bin/node ${home}/dist/main/virtbrokerctl.js "$@"\n`, 0o755)
  install('packaging/virtbroker-mode', '/usr/sbin/virtbroker-mode', 0o755)
}

const NEEDED = ['.js', '.cjs', '.mjs', '.json', '.node']
const isNeeded = file => NEEDED.includes(extname(file)) || /^(licen[cs]e|copying|notice)/i.test(basename(file))

/** Modules as package-lock.json has them, for the architecture of the package. */
function putModules() {
  const dir = join(stage, 'modules')
  mkdirSync(dir)
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(root, file), join(dir, file))
  run('npm', [
    'ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--silent',
    '--os=linux', `--cpu=${CPUS[arch]}`, '--libc=glibc'
  ], { cwd: dir })
  const modules = join(dir, 'node_modules')
  // piscina can do without, and there is no use for it here. The other is for another libc.
  rmSync(join(modules, '@napi-rs'), { recursive: true })
  rmSync(join(modules, `@koromix/koffi-linux-${CPUS[arch]}/musl_${CPUS[arch]}`), { recursive: true, force: true })
  if (!existsSync(join(modules, `@koromix/koffi-linux-${CPUS[arch]}`))) fail(`npm has brought no koffi for ${arch}`)
  for (const file of readdirSync(modules, { recursive: true, withFileTypes: true })) {
    if (!file.isFile() || file.parentPath.includes('/.bin')) continue
    const path = join(file.parentPath, file.name)
    if (!isNeeded(path)) rmSync(path)
  }
  run('find', [modules, '-type', 'd', '-empty', '-delete'])
  rmSync(join(modules, '.bin'), { recursive: true, force: true })
  rmSync(join(modules, '.package-lock.json'), { force: true })
  cpSync(modules, at(`${home}/node_modules`), { recursive: true })
  return modules
}

function putUnits() {
  const units = join(root, 'packaging/systemd')
  for (const file of readdirSync(units)) {
    if (/\.(service|socket)$/.test(file)) install(`packaging/systemd/${file}`, `/usr/lib/systemd/system/${file}`)
  }
  for (const file of readdirSync(join(units, 'user'))) install(`packaging/systemd/user/${file}`, `/usr/lib/systemd/user/${file}`)
  install('packaging/systemd/virtbroker.catalog', '/usr/lib/systemd/catalog/virtbroker.catalog')
  // Neither is used before somebody says so.
  for (const set of ['instead', 'unprivileged']) {
    cpSync(join(units, set), at(`/usr/share/virtbroker/systemd/${set}`), { recursive: true })
  }
  install('packaging/grafana/virtbroker.json', '/usr/share/virtbroker/grafana/virtbroker.json')
  install('packaging/prometheus/virtbroker.rules.yml', '/usr/share/virtbroker/prometheus/virtbroker.rules.yml')
  install('packaging/default', '/etc/default/virtbrokerd')
  install('packaging/logrotate', '/etc/logrotate.d/virtbrokerd')
}

async function putDocs(modules) {
  const pages = join(stage, 'man')
  await writePages(pages, at(`${home}/dist`))
  copyFileSync(join(root, 'packaging/man/virtbroker-mode.8'), join(pages, 'virtbroker-mode.8'))
  for (const page of readdirSync(pages)) {
    compressed(`/usr/share/man/man${extname(page).slice(1)}/${page}`, readFileSync(join(pages, page)))
  }
  for (const program of ['virtbrokerd', 'virtbrokerctl', 'virtbroker-mode']) {
    install(`packaging/completion/${program}`, `/usr/share/bash-completion/completions/${program}`)
  }
  // Not in /etc/libvirt: there it would take the place of virtproxyd.conf.
  install('packaging/virtbrokerd.conf', `${docs}/examples/virtbrokerd.conf`)
  put(`${docs}/copyright`, copyright(modules))
  compressed(`${docs}/changelog`, changelog())
}

function changelog() {
  const date = new Date(1000 * epoch).toUTCString().replace('GMT', '+0000')
  return `virtbroker (${version}) unstable; urgency=medium\n\n  * CHANGELOG.md tells what has changed.\n\n -- ${maintainer}  ${date}\n`
}

/** Of each module the license that it names; the texts are with the modules. */
function copyright(modules) {
  const found = readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter(file => basename(file) === 'package.json')
    .map(file => ({ dir: dirname(file), manifest: JSON.parse(readFileSync(join(modules, file), 'utf8')) }))
    .filter(({ manifest }) => manifest.name !== undefined && manifest.version !== undefined)
    .sort((one, other) => (one.dir < other.dir ? -1 : 1))
  const lines = found.map(({ manifest }) => ` ${manifest.name} ${manifest.version}: ${manifest.license ?? 'see its files'}`)
  return `virtbroker, a broker for libvirt's remote protocol.

Copyright: the virtbroker authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.

The modules in ${home}/node_modules have licenses of their own,
whose texts are beside them:

${lines.join('\n')}
`
}

function control() {
  const size = Number(execFileSync('du', ['-sk', tree], { encoding: 'utf8' }).split('\t')[0])
  return `Package: virtbroker
Version: ${version}
Architecture: ${arch}
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: nodejs (>= 20.19), libc6
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
`
}

function putControl() {
  put('/DEBIAN/control', control())
  put('/DEBIAN/conffiles', '/etc/default/virtbrokerd\n/etc/logrotate.d/virtbrokerd\n')
  for (const script of ['preinst', 'postinst', 'prerm', 'postrm']) {
    const text = readFileSync(join(import.meta.dirname, script), 'utf8').replaceAll('@VERSION@', version)
    put(`/DEBIAN/${script}`, text, 0o755)
  }
  const files = execFileSync('find', ['.', '-type', 'f', '!', '-path', './DEBIAN/*', '!', '-path', './etc/*', '-printf', '%P\\n'], { cwd: tree, encoding: 'utf8' })
  put('/DEBIAN/md5sums', execFileSync('md5sum', files.trim().split('\n').sort(), { cwd: tree, encoding: 'utf8' }))
}

// Whatever the caller's umask is, everybody may read what is installed.
process.umask(0o022)
putProgram()
const modules = putModules()
putUnits()
await putDocs(modules)
run('chmod', ['-R', 'u=rwX,go=rX', tree])
putControl()
mkdirSync(out, { recursive: true })
const file = join(out, `virtbroker_${version}_${arch}.deb`)
run('dpkg-deb', ['--build', '--root-owner-group', '-Zxz', tree, file], { env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) } })
process.stdout.write(`${file}\n`)
