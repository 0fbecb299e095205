// The Node that a package brings for systems whose own is too old: an official build, or one like it, that wants nothing but
// the libraries of C and C++. Read with binutils, which can do with the binaries of other machines.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fail, run } from './stage.js'

/** What binutils call the machines, and what tools for them are called. */
const MACHINES = {
  x64: { machine: 'Advanced Micro Devices X86-64', triplet: 'x86_64-linux-gnu' },
  arm64: { machine: 'AArch64', triplet: 'aarch64-linux-gnu' }
}
const LIBRARIES = /^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so\.\d+|ld-linux-.*)$/
/** The last version of a symbol (GLIBCXX_3.4.N) that a release of GCC's libstdc++ has. */
const GCC = { 21: 5, 22: 6, 24: 7, 25: 8, 27: 9, 28: 10, 29: 11, 30: 12, 32: 13, 33: 14, 34: 15 }
/** Where official builds, nodesource's packages and container images have the license, below the prefix. */
const LICENSES = ['LICENSE', 'share/doc/nodejs/LICENSE', 'share/doc/node/LICENSE']

const byParts = (one, other) => one.localeCompare(other, 'en', { numeric: true })

export class BundledNode {
  /** `prefix`: a directory with bin/node, include/node and the license, as an unpacked node-v*-linux-*.tar.xz. */
  constructor(prefix, cpu) {
    this.binary = join(prefix, 'bin/node')
    const header = join(prefix, 'include/node/node_version.h')
    const license = LICENSES.map(path => join(prefix, path)).find(path => existsSync(path))
    if (license === undefined || !existsSync(header) || !existsSync(this.binary)) {
      fail(`${prefix} is no Node's directory: bin/node, include/node/node_version.h and LICENSE are needed`)
    }
    this.license = readFileSync(license, 'utf8')
    const text = readFileSync(header, 'utf8')
    this.version = ['MAJOR', 'MINOR', 'PATCH'].map(part => RegExp(`NODE_${part}_VERSION (\\d+)`).exec(text)[1]).join('.')
    if (byParts(this.version, '20.19') < 0) fail(`Node ${this.version} is too old: 20.19 is needed`)
    const elf = execFileSync('readelf', ['-hdVW', this.binary], { encoding: 'utf8', maxBuffer: 64 << 20 })
    this.triplet = MACHINES[cpu].triplet
    if (!elf.includes(MACHINES[cpu].machine)) fail(`${this.binary} is for another machine than ${cpu}`)
    const foreign = [...elf.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, library]) => library).filter(library => !LIBRARIES.test(library))
    if (foreign.length > 0) fail(`${this.binary} needs ${foreign.join(' and ')}: it is a distribution's own, not an official build`)
    const last = name => [...elf.matchAll(RegExp(`Name: ${name}_([\\d.]+)`, 'g'))].map(([, version]) => version).sort(byParts).at(-1)
    this.glibc = last('GLIBC')
    const symbols = Number(last('GLIBCXX').split('.')[2])
    this.gcc = Object.entries(GCC).find(([version]) => Number(version) >= symbols)?.[1]
    if (this.gcc === undefined) fail(`${this.binary} wants a libstdc++ that is newer than what is known here`)
  }

  /** Without what only a debugger reads. */
  install(path) {
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(this.binary, path)
    run(`${this.triplet}-strip`, ['--strip-unneeded', path])
    chmodSync(path, 0o755)
  }
}
