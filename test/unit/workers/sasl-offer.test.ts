import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import type { Mechanism, SaslInventory } from '#workers/sasl/inventory.js'
import { describeOffer, passwordTrouble } from '#workers/sasl/offer.js'
import { Cleanup } from '../../support/cleanup.js'
import { tempDir } from '../../support/temp-dir.js'

/** As the plugins of libsasl2 2.1.28 describe themselves. */
const MECHANISMS: readonly Mechanism[] = [
  ['GSSAPI', 'gssapiv2', 256, 0x73, 0x8a2],
  ['SCRAM-SHA-256', 'scram', 0, 0x53, 0x1820],
  ['GS2-KRB5', 'gs2', 0, 0x73, 0x902],
  ['DIGEST-MD5', 'digestmd5', 128, 0x51, 0x1020],
  ['PLAIN', 'plain', 0, 0x30, 0x22],
  ['ANONYMOUS', 'anonymous', 0, 0x01, 0x82],
  ['EXTERNAL', 'EXTERNAL', 0, 0x15, 0x22]
].map(([name, plugin, strength, security, features]) => ({
  name, plugin, strength, security, features, userless: false
})) as Mechanism[]

const PLAIN_TCP = { secure: false, minSsf: 56 }
const SECURE = { secure: true, minSsf: 0 }

interface Setting {
  options?: Record<string, string>
  /** Mechanisms whose plugins have not started. */
  without?: readonly string[]
  /** Files that are not in the process. */
  missing?: readonly string[]
  stores?: readonly string[]
  keytabTrouble?: string
}

function inventory({ options = {}, without = [], missing = [], stores = ['sasldb'], keytabTrouble }: Setting): SaslInventory {
  const files = MECHANISMS.map(({ plugin }) => plugin)
  return {
    mechanisms: MECHANISMS.filter(({ name }) => !without.includes(name)),
    stores,
    loaded: new Set(files.filter(file => !missing.includes(file))),
    option: name => options[name],
    keytabTrouble
  }
}

describe('what the log says about SASL mechanisms', () => {
  /** What, the library, what it offers, the connection, and why it does not offer the others. */
  const cases: [string, Setting & { offered: string[] }, typeof SECURE, string][] = [
    [
      'one that is not strong enough', { options: { mech_list: 'digest-md5' }, offered: [] }, { secure: false, minSsf: 200 },
      'DIGEST-MD5 (it encrypts with 128 bits at most, and tcp_min_ssf asks for 200)'
    ],
    [
      'several without encryption', { options: { mech_list: 'plain scram-sha-256 digest-md5' }, offered: ['DIGEST-MD5'] }, PLAIN_TCP,
      'PLAIN, SCRAM-SHA-256 (it does not encrypt, and tcp_min_ssf asks for 56)'
    ],
    [
      'one whose plugin is not installed',
      { options: { mech_list: 'gssapi' }, without: ['GSSAPI'], missing: ['gssapiv2'], offered: [] }, SECURE,
      'GSSAPI (its plugin libgssapiv2 is not installed or cannot be loaded; Debian: libsasl2-modules-gssapi-mit)'
    ],
    [
      'one whose plugin wants a keytab',
      {
        options: { mech_list: 'gssapi', keytab: '/no/keytab' }, without: ['GSSAPI'],
        keytabTrouble: 'no such file or directory', offered: []
      }, SECURE,
      'GSSAPI (its plugin did not start for want of the keytab /no/keytab: no such file or directory)'
    ],
    [
      'one whose plugin has the keytab and did not start',
      { options: { mech_list: 'gssapi', keytab: '/a/keytab' }, without: ['GSSAPI'], offered: [] }, SECURE,
      'GSSAPI (its plugin did not start, and has said why in the system log)'
    ],
    [
      'one that its plugin does not have', { options: { mech_list: 'SCRAM-SHA-3' }, offered: [] }, SECURE,
      'SCRAM-SHA-3 (its plugin has no mechanism of this name)'
    ],
    [
      'a name that nobody knows', { options: { mech_list: 'gssapi,plain' }, offered: [] }, SECURE,
      'GSSAPI,PLAIN (no plugin has a mechanism of this name)'
    ],
    [
      'one that its plugin holds back', { options: { mech_list: 'external plain' }, offered: ['PLAIN'] }, SECURE,
      'EXTERNAL (its plugin says that it is not available)'
    ]
  ]
  for (const [what, { offered, ...setting }, demands, expected] of cases) {
    it(what, () => {
      const { text } = describeOffer(inventory(setting), offered, demands)
      expect(text).to.contain(`not offered: ${expected}`)
      expect(text.startsWith(offered.length === 0 ? 'no mechanism can be offered' : 'offered: ')).to.equal(true)
    })
  }

  it('names in mech_list are found in any case, and with -PLUS', () => {
    const { text, faulty } = describeOffer(
      inventory({ options: { mech_list: 'Scram-Sha-256-plus' } }), ['SCRAM-SHA-256'], SECURE
    )
    expect(text).to.match(/^offered: SCRAM-SHA-256; there, but not in mech_list: GSSAPI, /)
    expect(faulty).to.equal(false)
  })

  it('is a warning when nothing is left, or a name of mech_list is not there; not for plain TCP\'s own demands', () => {
    const faulty = (setting: Setting, offered: string[], demands = SECURE): boolean =>
      describeOffer(inventory(setting), offered, demands).faulty
    expect(faulty({ options: { mech_list: 'plain' } }, [], PLAIN_TCP)).to.equal(true)
    expect(faulty({ options: { mech_list: 'plain gssapi' }, without: ['GSSAPI'] }, ['PLAIN'])).to.equal(true)
    expect(faulty({ options: { mech_list: 'plain digest-md5' } }, ['DIGEST-MD5'], PLAIN_TCP)).to.equal(false)
    expect(faulty({}, ['PLAIN'])).to.equal(false)
  })

  it('accounts for each name once: offered, not offered, or not in mech_list', () => {
    const names = [...MECHANISMS.map(({ name }) => name), 'OTP', 'NONSENSE', 'GSS-SPNEGO']
    fc.assert(fc.property(
      fc.option(fc.subarray(names, { minLength: 1 }), { nil: undefined }),
      fc.subarray(MECHANISMS.map(({ name }) => name)), fc.subarray(names), fc.boolean(), fc.nat(300),
      (listed, without, open, secure, minSsf) => {
        const found = inventory({ options: listed === undefined ? {} : { mech_list: listed.join(' ') }, without })
        const there = found.mechanisms.map(({ name }) => name)
        const offered = open.filter(name => there.includes(name) && (listed ?? there).includes(name))
        const { text } = describeOffer(found, offered, { secure, minSsf })
        const said = text.replace(/\([^)]*\)/g, '').split(/[;:,\s]+/)
        for (const name of new Set([...there, ...listed ?? []])) {
          expect(said.filter(word => word === name), `${name} in ${text}`).to.have.length(1)
        }
      }
    ))
  })
})

describe('what the log says about SASL passwords', () => {
  const cleanup = new Cleanup()
  let database: string
  before(async () => {
    database = join(await tempDir(cleanup), 'passwd.db')
    await writeFile(database, '')
  })
  after(() => cleanup.run())

  const trouble = (setting: Setting, ...offered: string[]): string | undefined =>
    passwordTrouble(inventory(setting), offered)

  it('nothing where the database can be read', () => {
    expect(trouble({ options: { sasldb_path: database } }, 'SCRAM-SHA-256', 'PLAIN')).to.equal(undefined)
  })

  it('which file is not there', () => {
    expect(trouble({ options: { sasldb_path: '/no/passwd.db' } }, 'SCRAM-SHA-256', 'GSSAPI', 'PLAIN')).to.equal(
      'no password can be found for SCRAM-SHA-256, PLAIN: sasldb_path /no/passwd.db: no such file or directory'
    )
  })

  it('nothing for mechanisms without passwords', () => {
    const options = { sasldb_path: '/no/passwd.db' }
    expect(trouble({ options }, 'GSSAPI', 'GS2-KRB5', 'ANONYMOUS')).to.equal(undefined)
  })

  it('nothing for PLAIN when somebody else checks the password', () => {
    const options = { sasldb_path: '/no/passwd.db', pwcheck_method: 'saslauthd' }
    expect(trouble({ options }, 'PLAIN')).to.equal(undefined)
    expect(trouble({ options }, 'PLAIN', 'DIGEST-MD5')).to.match(/for DIGEST-MD5: /)
    expect(trouble({ options: { ...options, pwcheck_method: 'saslauthd auxprop' } }, 'PLAIN')).to.match(/for PLAIN: /)
  })

  it('that the plugin for the database is not there', () => {
    const options = { sasldb_path: database }
    expect(trouble({ options, stores: [] }, 'PLAIN')).to.match(/libsasldb, .* \(Debian: libsasl2-modules-db\)$/)
    expect(trouble({ options: { auxprop_plugin: 'sasldb' }, stores: ['sql'] }, 'PLAIN')).to.contain('libsasldb')
    expect(trouble({ options: { auxprop_plugin: 'ldapdb' } }, 'PLAIN')).to.contain('no plugin of auxprop_plugin (ldapdb)')
  })

  it('nothing of a file when other plugins have passwords too', () => {
    const options = { sasldb_path: '/no/passwd.db' }
    expect(trouble({ options, stores: ['sasldb', 'sql'] }, 'PLAIN')).to.equal(undefined)
    expect(trouble({ options: { ...options, auxprop_plugin: 'SASLDB' }, stores: ['sasldb', 'sql'] }, 'PLAIN'))
      .to.match(/: sasldb_path /)
  })
})
