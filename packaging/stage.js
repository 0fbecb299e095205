// The tree of files that the packages of all systems have: compiled code, modules, units, manual pages. Nothing of the clone is
// written to. Plain JavaScript, as what builds packages is.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { writePages } from './man/make.js'

export const root = join(import.meta.dirname, '..')
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
export const DOCS = '/usr/share/doc/virtbroker'

export function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

export const run = (program, args, more = {}) => execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'], ...more })

/** Undefined where nobody has said, or there is no git. */
export function git(...args) {
  try {
    return execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() || undefined
  } catch {
    return undefined
  }
}

/** What dates are made of, so that the same clone gives the same package. Seconds. */
export const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct') ?? Math.floor(Date.now() / 1000))

/** Functions for the scripts of packages, without the comments. */
export const releasesScript = () => readFileSync(join(import.meta.dirname, 'releases.sh'), 'utf8').replace(/^#.*\n/gm, '').trim()

const NEEDED = ['.js', '.cjs', '.mjs', '.json', '.node']
const isNeeded = file => NEEDED.includes(extname(file)) || /^(licen[cs]e|copying|notice)/i.test(basename(file))

export class Stage {
  /** Removed when this process ends. */
  dir = mkdtempSync(join(tmpdir(), 'virtbroker-stage-'))
  tree = join(this.dir, 'tree')

  /** `version`: as the package has it. `cpu`: Node's name of it. `node`: a BundledNode of that, if the package brings one. */
  constructor({ version, cpu, node }) {
    process.on('exit', () => rmSync(this.dir, { recursive: true, force: true }))
    this.version = version
    this.cpu = cpu
    this.node = node
    // Each release has a directory of its own: a broker that runs goes on with the code that it was started with.
    this.home = `/usr/lib/virtbroker/${version}`
  }

  at(path) {
    return join(this.tree, path)
  }

  put(path, text, mode = 0o644) {
    mkdirSync(dirname(this.at(path)), { recursive: true })
    writeFileSync(this.at(path), text)
    chmodSync(this.at(path), mode)
  }

  install(from, path, mode) {
    this.put(path, readFileSync(join(root, from)), mode)
  }

  compressed(path, text) {
    this.put(path, text)
    run('gzip', ['-9', '-n', this.at(path)])
  }

  /** All but what the system's own kind of package wants. */
  async fill() {
    // Whatever the caller's umask is, everybody may read what is installed.
    process.umask(0o022)
    this.#putProgram()
    this.#putModules()
    this.#putUnits()
    await this.#putDocs()
    run('chmod', ['-R', 'u=rwX,go=rX', this.tree])
  }

  /** The program, without what only a clone needs (see "files" in package.json). */
  #putProgram() {
    // What is built in the clone is left alone.
    const dir = join(this.dir, 'program')
    mkdirSync(dir)
    for (const part of ['src', 'package.json', 'tsconfig.json']) cpSync(join(root, part), join(dir, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const plain = ['--incremental', 'false', '--tsBuildInfoFile', 'null', '--declaration', 'false', '--sourceMap', 'false']
    run(process.execPath, [tsc, '-p', dir, ...plain], { stdio: ['ignore', 2, 'inherit'] })
    cpSync(join(dir, 'dist'), this.at(`${this.home}/dist`), { recursive: true })
    mkdirSync(this.at(`${this.home}/packaging/page`), { recursive: true })
    for (const file of readdirSync(join(root, 'packaging/page'))) {
      if (/\.(html|css|js|svg)$/.test(file)) copyFileSync(join(root, 'packaging/page', file), this.at(`${this.home}/packaging/page/${file}`))
    }
    for (const pattern of manifest.files.filter(pattern => pattern.startsWith('!'))) rmSync(this.at(`${this.home}/${pattern.slice(1)}`))
    const { name, license, type, imports } = manifest
    // What --version says is what the package manager says.
    this.put(`${this.home}/package.json`, `${JSON.stringify({ name, version: this.version, license, type, imports }, null, 2)}\n`)
    this.node?.install(this.at(`${this.home}/bin/node`))
    const node = this.node === undefined ? '/usr/bin/node' : `${this.home}/bin/node`
    for (const [program, script] of Object.entries(manifest.bin)) {
      this.put(`/usr/sbin/${program}`, `#!/bin/sh\nexec ${node} ${this.home}/${script} "$@"\n`, 0o755)
    }
    this.install('packaging/virtbroker-mode', '/usr/sbin/virtbroker-mode', 0o755)
  }

  /** Modules as package-lock.json has them. */
  #putModules() {
    const dir = join(this.dir, 'modules')
    mkdirSync(dir)
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(root, file), join(dir, file))
    run('npm', [
      'ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--silent',
      '--os=linux', `--cpu=${this.cpu}`, '--libc=glibc'
    ], { cwd: dir })
    const modules = join(dir, 'node_modules')
    // piscina can do without, and there is no use for it here. The other is for another libc.
    rmSync(join(modules, '@napi-rs'), { recursive: true })
    rmSync(join(modules, `@koromix/koffi-linux-${this.cpu}/musl_${this.cpu}`), { recursive: true, force: true })
    // A program that koffi is built with: it would want the system's Node.
    rmSync(join(modules, 'koffi/src/koffi/src/trampolines.cjs'))
    if (!existsSync(join(modules, `@koromix/koffi-linux-${this.cpu}`))) fail(`npm has brought no koffi for ${this.cpu}`)
    for (const file of readdirSync(modules, { recursive: true, withFileTypes: true })) {
      if (!file.isFile() || file.parentPath.includes('/.bin')) continue
      const path = join(file.parentPath, file.name)
      if (!isNeeded(path)) rmSync(path)
    }
    run('find', [modules, '-type', 'd', '-empty', '-delete'])
    rmSync(join(modules, '.bin'), { recursive: true, force: true })
    rmSync(join(modules, '.package-lock.json'), { force: true })
    cpSync(modules, this.at(`${this.home}/node_modules`), { recursive: true })
  }

  #putUnits() {
    const units = join(root, 'packaging/systemd')
    for (const file of readdirSync(units)) {
      if (/\.(service|socket)$/.test(file)) this.install(`packaging/systemd/${file}`, `/usr/lib/systemd/system/${file}`)
    }
    for (const file of readdirSync(join(units, 'user'))) this.install(`packaging/systemd/user/${file}`, `/usr/lib/systemd/user/${file}`)
    this.install('packaging/systemd/virtbroker.catalog', '/usr/lib/systemd/catalog/virtbroker.catalog')
    // Neither is used before somebody says so.
    for (const set of ['instead', 'unprivileged']) {
      cpSync(join(units, set), this.at(`/usr/share/virtbroker/systemd/${set}`), { recursive: true })
    }
    this.install('packaging/logrotate', '/etc/logrotate.d/virtbrokerd')
  }

  async #putDocs() {
    const pages = join(this.dir, 'man')
    await writePages(pages, this.at(`${this.home}/dist`))
    copyFileSync(join(root, 'packaging/man/virtbroker-mode.8'), join(pages, 'virtbroker-mode.8'))
    for (const page of readdirSync(pages)) {
      this.compressed(`/usr/share/man/man${extname(page).slice(1)}/${page}`, readFileSync(join(pages, page)))
    }
    for (const file of readdirSync(join(root, 'packaging/completion'))) {
      this.install(`packaging/completion/${file}`, `/usr/share/bash-completion/completions/${file}`)
    }
    // Not in /etc/libvirt: there it would take the place of virtproxyd.conf.
    this.install('packaging/virtbrokerd.conf', `${DOCS}/examples/virtbrokerd.conf`)
    this.install('packaging/grafana/virtbroker.json', '/usr/share/virtbroker/grafana/virtbroker.json')
    this.install('packaging/prometheus/virtbroker.rules.yml', '/usr/share/virtbroker/prometheus/virtbroker.rules.yml')
    for (const file of readdirSync(join(root, 'packaging/haproxy'))) {
      this.install(`packaging/haproxy/${file}`, `/usr/share/virtbroker/haproxy/${file}`)
    }
  }

  /** Of each module the license that it names, whose texts are with the modules; of Node the text. */
  licenses() {
    const modules = this.at(`${this.home}/node_modules`)
    const found = readdirSync(modules, { recursive: true, encoding: 'utf8' })
      .filter(file => basename(file) === 'package.json')
      .map(file => ({ dir: dirname(file), manifest: JSON.parse(readFileSync(join(modules, file), 'utf8')) }))
      .filter(({ manifest }) => manifest.name !== undefined && manifest.version !== undefined)
      .sort((one, other) => (one.dir < other.dir ? -1 : 1))
    const lines = found.map(({ manifest }) => ` ${manifest.name} ${manifest.version}: ${manifest.license ?? 'see its files'}`)
    const text = `The modules in ${this.home}/node_modules have licenses of their own,\nwhose texts are beside them:\n\n${lines.join('\n')}\n`
    if (this.node === undefined) return text
    return `${text}\n${this.home}/bin/node is Node.js ${this.node.version}:\n\n${this.node.license}`
  }
}
