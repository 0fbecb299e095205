import { chmod, chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { USER } from '../support/as-user.js'
import type { Conf } from '../support/conf-file.js'
import { privateEtc } from '../support/private-etc.js'
import { SaslFiles } from '../support/sasl.js'
import { expectRefused, login } from '../support/sasl-login.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

/** Runs a command with a view of the machine's files that these shell commands have changed. */
const isolated = (changes: string): string[] => [
  'unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${changes} && exec "$@"`, 'sh'
]

/** Runs a command without these files of the machine. */
const hiding = (files: string): string[] => isolated(`for file in ${files}; do mount --bind /dev/null $file; done`)

const PLUGINS = '/usr/lib/*/sasl2'

describe('SASL mechanisms in the log', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  interface Way {
    auth?: Conf
    within?: string[]
  }

  /** A broker with this `libvirt.conf`, with SASL on the main socket if nothing else is said. */
  async function startWith(libvirtConf: readonly string[], { auth = { auth_unix_rw: 'sasl' }, within = [] }: Way = {}): Promise<Stage> {
    const sasl = await SaslFiles.create(cleanup, 'plain')
    await writeFile(join(sasl.dir, 'libvirt.conf'), libvirtConf.map(line => `${line}\n`).join(''))
    return sasl.inUse(() => Stage.start(cleanup, auth, { within }))
  }

  const logged = (stage: Stage, what: RegExp): Promise<RegExpMatchArray> =>
    waitFor(`${String(what)} in the log`, () => stage.broker.program.stderr.match(what) ?? undefined)

  /** The start has said it, and so does each login. */
  async function expectNothingOffered(stage: Stage, where: string | number, keys: string, reason: string): Promise<void> {
    const start = await logged(stage, /warning : rpc\.netsaslcontext : (.*)/)
    expect(start[1]).to.contain(`${keys} = "sasl": no mechanism can be offered, so nobody can log in; not offered: ${reason}`)
    const before = stage.broker.program.stderr.length
    expectRefused(await (await stage.connect(where)).call(REMOTE.authSaslInit))
    const refusal = await waitFor('the refusal', () =>
      stage.broker.program.stderr.slice(before).match(/error : rpc\.netsaslcontext : client \d+.*: SASL: (.*)/)?.[1])
    expect(refusal).to.contain(`no mechanism can be offered, so nobody can log in; not offered: ${reason}`)
  }

  it('the file of Debian\'s package without a keytab', async () => {
    const keytab = join(await tempDir(cleanup), 'krb5.tab')
    const stage = await startWith(['mech_list: gssapi', `keytab: ${keytab}`])
    const gssapi = `GSSAPI (its plugin did not start for want of the keytab ${keytab}: no such file or directory)`
    const reason = `${gssapi}; there, but not in mech_list: `
    await expectNothingOffered(stage, stage.broker.socket, 'auth_unix_rw', reason)
  })

  it('a plugin that is not installed', async () => {
    const stage = await startWith(['mech_list: gssapi'], { within: hiding(`${PLUGINS}/libgssapiv2.so*`) })
    const reason = 'GSSAPI (its plugin libgssapiv2 is not installed or cannot be loaded; Debian: libsasl2-modules-gssapi-mit)'
    await expectNothingOffered(stage, stage.broker.socket, 'auth_unix_rw', reason)
  })

  it('mechanisms that are too weak for plain TCP, which the UNIX socket offers', async () => {
    const auth = { auth_tcp: 'sasl', auth_unix_rw: 'sasl', auth_unix_ro: 'sasl', tcp_min_ssf: 200, log_level: 2 }
    const stage = await startWith(['mech_list: digest-md5 plain', 'pwcheck_method: saslauthd'], { auth })
    const reason = 'DIGEST-MD5 (it encrypts with 128 bits at most, and tcp_min_ssf asks for 200), ' +
      'PLAIN (it does not encrypt, and tcp_min_ssf asks for 200)'
    await expectNothingOffered(stage, stage.broker.tcpPort, 'auth_tcp', reason)
    await logged(stage, /info : rpc\.netsaslcontext : auth_unix_rw and auth_unix_ro = "sasl": offered: DIGEST-MD5, PLAIN; there/)
  })

  it('names that nobody knows, beside one that is there', async () => {
    const stage = await startWith(['mech_list: plain no-such-mechanism', 'pwcheck_method: saslauthd'])
    await logged(stage, /warning : .*: offered: PLAIN; not offered: NO-SUCH-MECHANISM \(no plugin has a mechanism of this name\)/)
  })

  it('nothing above info when all is well', async () => {
    const sasl = await SaslFiles.create(cleanup, 'plain')
    await sasl.addUser('fred', 'secret')
    const stage = await sasl.inUse(() => Stage.start(cleanup, { auth_unix_rw: 'sasl', log_level: 2 }))
    await logged(stage, /info : rpc\.netsaslcontext : auth_unix_rw = "sasl": offered: PLAIN; there, but not in mech_list: /)
    expect(stage.broker.program.stderr).not.to.match(/(warning|error) : rpc\.netsaslcontext/)
  })

  describe('and passwords', () => {
    /** Said at the start, and after a login that failed for it. */
    async function expectNoPasswords(stage: Stage, why: string): Promise<void> {
      const text = `no password can be found for PLAIN: ${why}`
      await waitFor('the warning', () => stage.broker.program.stderr.includes(`warning : rpc.netsaslcontext : ${text}`))
      const before = stage.broker.program.stderr.length
      expectRefused(await login(await stage.connect(stage.broker.socket), 'fred', 'secret'))
      const refusal = await waitFor('the refusal', () =>
        stage.broker.program.stderr.slice(before).match(/client \d+.*SASL code -\d+: .*/)?.[0])
      expect(refusal).to.contain(text)
    }

    it('a database that is not there', async () => {
      const database = join(await tempDir(cleanup), 'passwd.db')
      const stage = await startWith(['mech_list: plain', `sasldb_path: ${database}`])
      await expectNoPasswords(stage, `sasldb_path ${database}: no such file or directory`)
    })

    it('no sasldb_path, and nothing in the place of the library\'s own', async () => {
      const stage = await startWith(['mech_list: plain'], {
        within: isolated(`${privateEtc(await tempDir(cleanup))} && rm -f /etc/sasldb2`)
      })
      const why = 'libvirt.conf has no sasldb_path, and /etc/sasldb2, where passwords are then: no such file or directory'
      await expectNoPasswords(stage, why)
    })

    it('a database that the broker may not read', async () => {
      const sasl = await SaslFiles.create(cleanup, 'plain')
      await sasl.addUser('fred', 'secret')
      await chown(sasl.database, USER.nobody, USER.nobody)
      await chmod(sasl.database, 0o600)
      const stage = await sasl.inUse(() => Stage.start(cleanup, { auth_unix_rw: 'sasl' }, {
        within: ['setpriv', '--bounding-set=-dac_override,-dac_read_search']
      }))
      await expectNoPasswords(stage, `sasldb_path ${sasl.database}: permission denied`)
    })

    it('no plugin for the database', async () => {
      const sasl = await SaslFiles.create(cleanup, 'plain')
      await sasl.addUser('fred', 'secret')
      const stage = await sasl.inUse(() => Stage.start(cleanup, { auth_unix_rw: 'sasl' }, {
        within: hiding(`${PLUGINS}/libsasldb.so*`)
      }))
      await expectNoPasswords(stage, 'libsasldb, the plugin for the password database, is not installed')
    })
  })
})
