import { mkdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { freePort } from './free-port.js'
import { mustRun, Program, run } from './processes.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const REALM = 'TEST.INVALID'

/** The command that runs a command somewhere else. */
type Within = (argv: readonly string[]) => string[]

/** A real Kerberos server with a realm of its own, which nobody knows of but those with its environment. */
export class Kdc {
  private constructor(readonly dir: string, readonly env: NodeJS.ProcessEnv, readonly within: Within) {}

  /** @param within where it runs, if not on this machine */
  static async start(cleanup: Cleanup, within: Within = argv => [...argv]): Promise<Kdc> {
    const dir = await tempDir(cleanup)
    const port = await freePort()
    await mkdir(join(dir, 'db'))
    await writeFile(join(dir, 'krb5.conf'), `[libdefaults]
  default_realm = ${REALM}
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  ignore_acceptor_hostname = true
[realms]
  ${REALM} = {
    kdc = 127.0.0.1:${port}
  }
`)
    await writeFile(join(dir, 'kdc.conf'), `[kdcdefaults]
  kdc_listen = 127.0.0.1:${port}
  kdc_tcp_listen = 127.0.0.1:${port}
[realms]
  ${REALM} = {
    database_name = ${dir}/db/principal
    key_stash_file = ${dir}/db/stash
    acl_file = ${dir}/db/acl
  }
[logging]
  kdc = FILE:${dir}/kdc.log
`)
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      KRB5_CONFIG: join(dir, 'krb5.conf'),
      KRB5_KDC_PROFILE: join(dir, 'kdc.conf'),
      KRB5RCACHEDIR: dir
    }
    const kdc = new Kdc(dir, env, within)
    await mustRun(within(['kdb5_util', 'create', '-s', '-r', REALM, '-P', 'master']), { env })
    for (const host of ['localhost', hostname()]) {
      await kdc.administer(`addprinc -randkey libvirt/${host}`)
      await kdc.administer(`ktadd -k ${kdc.keytab} libvirt/${host}`)
    }
    const pidFile = join(dir, 'kdc.pid')
    const program = new Program(within(['krb5kdc', '-n', '-P', pidFile]), { env })
    cleanup.defer(async () => {
      // What was started here may only have started it somewhere else.
      if (!program.ended) await mustRun(within(['sh', '-c', `kill $(cat ${pidFile})`]))
      await program.exited
    })
    await waitFor('the KDC', async () => {
      if (program.ended) throw new Error(`the KDC ended: ${program.describe()}`)
      return (await run(within(['bash', '-c', `: < /dev/tcp/127.0.0.1/${port}`]))).status === 0
    })
    return kdc
  }

  /** Keys of the service `libvirt`. */
  get keytab(): string {
    return join(this.dir, 'libvirt.keytab')
  }

  async addUser(name: string, password: string): Promise<void> {
    await this.administer(`addprinc -pw ${password} ${name}`)
  }

  /** Logs a user in; what clients need in their environment to use that. */
  async ticket(name: string, password: string): Promise<NodeJS.ProcessEnv> {
    const env = { ...this.env, KRB5CCNAME: `FILE:${join(this.dir, `tickets-${name}`)}` }
    await mustRun(this.within(['kinit', name]), { env, input: `${password}\n` })
    return env
  }

  private async administer(query: string): Promise<void> {
    await mustRun(this.within(['kadmin.local', '-r', REALM, '-q', query]), { env: this.env })
  }
}
