import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from './processes.js'

/** Releases with another libvirt than this system's. */
export type Suite = 'trixie' | 'sid'

/** Renamed when it is complete: who finds it can use it. A snapshot of a release that goes on is out of date at once. */
const script = `
set -e
test ! -e "$2" || exit 0
rm -rf "$2.new"
mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' --include=libvirt-clients,libvirt-daemon,haproxy "$1" "$2.new"
mv "$2.new" "$2"
`

/** libvirt and HAProxy of another Debian release: the packages and all that they need, unpacked once and not installed. */
export class DebianRelease {
  private constructor(
    readonly root: string,
    /** Where its libraries are, and their loader. */
    readonly libraries: string,
    readonly loader: string
  ) {}

  static async unpacked(suite: Suite): Promise<DebianRelease> {
    const root = `/var/tmp/virtbroker-programs-${suite}`
    if (!existsSync(root)) await mustRun(['flock', `${root}.lock`, 'sh', '-c', script, 'sh', suite, root], { timeout: 300_000 })
    const architecture = (await readdir(join(root, 'usr/lib'))).find(name => name.endsWith('-linux-gnu'))!
    const libraries = join(root, 'usr/lib', architecture)
    const loader = (await readdir(libraries)).find(name => /^ld-linux.*\.so\.\d+$/.test(name))!
    return new DebianRelease(root, libraries, join(libraries, loader))
  }

  /** The command that runs one of its programs here, with its own libraries: it sees the files of this system. */
  command(program: string): string[] {
    const path = ['usr/bin', 'usr/sbin'].map(dir => join(this.root, dir, program)).find(existsSync)
    if (path === undefined) throw new Error(`${this.root} has no ${program}`)
    return [this.loader, '--library-path', this.libraries, path]
  }
}
