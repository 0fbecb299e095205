import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { mustRun } from './processes.js'
import { tempDir } from './temp-dir.js'

/** libsasl2's configuration for libvirt daemons, with a password database, in a directory of the test's own. */
export class SaslFiles {
  private constructor(readonly dir: string) {}

  /** @param mechanisms in libsasl2's configuration language: names with blanks between */
  static async create(cleanup: Cleanup, mechanisms: string, more: readonly string[] = []): Promise<SaslFiles> {
    const files = new SaslFiles(await tempDir(cleanup))
    await mkdir(files.dir, { recursive: true })
    const lines = [`mech_list: ${mechanisms}`, `sasldb_path: ${files.database}`, ...more]
    await writeFile(join(files.dir, 'libvirt.conf'), `${lines.join('\n')}\n`)
    return files
  }

  get database(): string {
    return join(this.dir, 'passwd.db')
  }

  /** In the realm in which a server looks that knows no other: its host's name. */
  async addUser(name: string, password: string): Promise<void> {
    await mustRun(['saslpasswd2', '-c', '-p', '-a', 'libvirt', '-f', this.database, name], { input: password })
  }

  /** A file for LIBVIRT_AUTH_FILE. */
  async credentials(name: string, password: string): Promise<string> {
    const file = join(this.dir, `auth-${name}-${password}.conf`)
    const lines = ['[credentials-test]', `authname=${name}`, `password=${password}`]
    const hosts = ['127.0.0.1', 'localhost', 'default'].flatMap(host => [`[auth-libvirt-${host}]`, 'credentials=test'])
    await writeFile(file, [...lines, ...hosts, ''].join('\n'))
    return file
  }

  /**
   * Where programs look that are started while `action` runs: the library reads the environment and nothing else.
   */
  async inUse<T>(action: () => Promise<T>): Promise<T> {
    process.env['SASL_CONF_PATH'] = this.dir
    try {
      return await action()
    } finally {
      delete process.env['SASL_CONF_PATH']
    }
  }
}
