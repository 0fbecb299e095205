import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { interpret, type Preferences } from '#main/config/tls-priority/interpret.js'
import { settle } from '#main/config/tls-priority/settle.js'
import { parsePolicy, NO_POLICY, resolve, restrict, type SystemPolicy } from '#main/config/tls-priority/system-policy.js'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { knownNames } from '#workers/tls/openssl-names.js'
import { Cleanup } from '../support/cleanup.js'
import { Pki, type Authority, type Credentials, type KeyKind } from '../support/pki.js'
import { priorityString } from '../support/priority-strings.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun, run } from '../support/processes.js'
import { Random } from '../support/random.js'
import { tempDir } from '../support/temp-dir.js'
import type { Attempt } from '../support/tls-attempts.js'
import { attempts, Trial } from '../support/trial.js'

const LISTS = ['versions', 'ciphers', 'macs', 'keyExchanges', 'groups', 'signatures'] as const

type Lists = Record<(typeof LISTS)[number], string[]>

/** What gnutls-cli says of a priority string: its lists, and the numbers of the cipher suites; undefined if it refuses it. */
async function gnutls(text: string, configuration?: string): Promise<(Lists & { suites: string[] }) | undefined> {
  const env = { ...process.env, GNUTLS_SYSTEM_PRIORITY_FILE: configuration ?? '/nonexistent' }
  const { stdout, stderr } = await run(['gnutls-cli', '--priority', text, '--list'], { env })
  if (/Syntax error|Error in priorities/.test(stderr + stdout)) return undefined
  const list = (title: string, prefix = ''): string[] => {
    const names = new RegExp(`^${title}: (.*)$`, 'm').exec(stdout)![1]!
    return names === 'none' ? [] : names.split(', ').map(name => name.replace(prefix, ''))
  }
  return {
    versions: list('Protocols', 'VERS-'),
    ciphers: list('Ciphers'),
    macs: list('MACs'),
    keyExchanges: list('Key Exchange Algorithms'),
    groups: list('Groups', 'GROUP-'),
    signatures: list('PK-signatures', 'SIGN-'),
    suites: [...stdout.matchAll(/^TLS_\S+\s+0x(..), 0x(..)/gm)].map(([, high, low]) => `${high}${low}`)
  }
}

/** Our reading of it, before OpenSSL is looked at; undefined if it is refused. Releases differ in the newest names. */
function ours(text: string, policy: SystemPolicy = NO_POLICY): Lists | undefined {
  let chosen: Preferences
  try {
    chosen = interpret(resolve(text, policy).text)
    restrict(chosen, policy)
    settle(chosen)
  } catch {
    return undefined
  }
  return { ...chosen, signatures: chosen.signatures.filter(name => !name.startsWith('ML-DSA')) }
}

/** OpenSSL's names of cipher suites by their numbers. */
async function suiteNames(): Promise<Map<string, string>> {
  const { stdout } = await mustRun(['openssl', 'ciphers', '-V', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'])
  return new Map([
    ...[...stdout.matchAll(/0x(..),0x(..) - (\S+)/g)].map(
      ([, high = '', low = '', name = '']) => [`${high}${low}`.toLowerCase(), name] as [string, string]
    ),
    // Those of TLS 1.3 that are not listed unless they are asked for.
    ['1304', 'TLS_AES_128_CCM_SHA256'],
    ['1305', 'TLS_AES_128_CCM_8_SHA256']
  ])
}

describe('priority strings', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  describe('beside gnutls-cli', () => {
    let names: Map<string, string>

    before(async () => {
      names = await suiteNames()
    })

    /** The suites that libvirt's kind of server can use at all: it has certificates, and nothing is left in clear. */
    const usable = (name: string): boolean => !/PSK|SRP|ADH|AECDH|NULL/.test(name)

    const list = (joined: string | undefined): string[] => joined?.split(':') ?? []

    async function expectSame(text: string): Promise<'same' | 'refused by both' | 'refused here'> {
      const theirs = await gnutls(text)
      let found: ReturnType<typeof tlsPriority>['negotiation'] | undefined
      try {
        found = tlsPriority(text).negotiation
      } catch {
        found = undefined
      }
      if (theirs === undefined) {
        expect(found, `${text} is refused by GnuTLS`).to.equal(undefined)
        return 'refused by both'
      }
      const lists = ours(text)
      for (const list of LISTS) expect(lists?.[list], `${list} of ${text}`).to.deep.equal(theirs[list])
      const had = theirs.suites.map(number => names.get(number) ?? '').filter(name => name !== '' && usable(name))
      const curves = theirs.groups.some(group => /^(SECP|X)/.test(group))
      const older = [...knownNames('cipher', had)]
        .filter(name => curves || !name.startsWith('ECDHE'))
        .filter(name => !text.includes('%FORCE_ETM') || /GCM|CCM|POLY1305/.test(name))
      // Large fields only where they are asked for by name (docs/differences.md).
      const groups = theirs.groups
        .filter(name => !/^FFDHE(6144|8192)$/.test(name) || text.includes(`+GROUP-${name}`))
        .map(name => name.replace(/^SECP(\d+)R1$/, 'P-$1').replace('FFDHE', 'ffdhe'))
        .filter(name => /^(P-|X|ffdhe)/.test(name))
      const newer = groups.length > 0 ? had.filter(name => name.startsWith('TLS_')) : []
      const spoken = [
        ...(theirs.versions.includes('TLS1.2') && older.length > 0 ? ['TLSv1.2'] : []),
        ...(theirs.versions.includes('TLS1.3') && newer.length > 0 ? ['TLSv1.3'] : [])
      ]
      if (spoken.length === 0) {
        expect(found, `${text} leaves nothing that OpenSSL has`).to.equal(undefined)
        return 'refused here'
      }
      expect(list(found!.groups), text).to.deep.equal(groups)
      expect([found!.minVersion, found!.maxVersion], text).to.deep.equal([spoken[0], spoken.at(-1)])
      expect(found!.ciphers, text).to.equal(spoken.includes('TLSv1.2') ? older.join(':') : '')
      expect(found!.suites, text).to.equal(spoken.includes('TLSv1.3') ? newer.join(':') : '')
      return 'same'
    }

    it('are understood in the same way, six hundred of them', async () => {
      const random = new Random(17)
      const counts = { same: 0, 'refused by both': 0, 'refused here': 0 }
      for (let i = 0; i < 600; i++) counts[await expectSame(priorityString(random))]++
      // Otherwise the strings would not be the right ones to try.
      expect(counts.same).to.be.above(300)
      expect(counts['refused by both']).to.be.above(50)
      expect(counts['refused here']).to.be.above(5)
    })

    const words = 'AES-192-GCM SALSA20-256 DES-CBC ARCFOUR-40 RC2-40 UMAC-96 AES-CMAC-128 GOSTR341194 MD2 SHA3-256 RSA-EXPORT ' +
      'VKO-GOST-12 SRP-DSS CURVE-SECP224R1 CURVE-Ed25519 CURVE-CryptoPro-A CURVE-FOO GROUP-SECP192R1 GROUP-GC256B GROUP-GC512A ' +
      'SIGN-RSA-RAW SIGN-RSA-RMD160 SIGN-GOSTR341012-256 SIGN-GOSTR341094 SIGN-ECDSA-SHA3-256 CTYPE-CLI-X509 CTYPE-SRV-ALL ' +
      'CTYPE-FOO CTYPE-RAWPK COMP-DEFLATE KX-FOO CIPHER-FOO VERS-TLS-ALLX VERS-TLS VERS-DTLS0.9 VERS-TLS1.4 GOSTX'
    it('know the same names', async () => {
      for (const word of words.split(' ')) {
        for (const sign of ['+', '-', '!']) {
          const text = `NORMAL:${sign}${word}`
          // Taking GOST away empties whole lists, which is another reason to refuse.
          const emptied = word === 'GOSTX' && sign !== '+'
          expect(ours(text) !== undefined, text).to.equal((await gnutls(text)) !== undefined || emptied)
        }
      }
    })

    it('resolve the words of a configuration in the same way', async () => {
      const file = join(await tempDir(cleanup), 'config')
      const configurations = [
        'SYSTEM=NORMAL\n',
        '# first\nSYSTEM = SECURE256:-VERS-TLS1.3\n[priorities]\nLIBVIRT=PFS # later\n  \nlibvirt: NORMAL\n',
        '[overrides]\ntls-disabled-cipher = aes-128-gcm\ntls-disabled-kx = RSA\ntls-disabled-mac=SHA1\n' +
          'tls-disabled-group = GROUP-X448\ndisabled-version = TLS1.1\n[priorities]\nSYSTEM=NORMAL\n',
        '[global]\noverride-mode = allowlist\n[overrides]\nsecure-hash = SHA256\nsecure-hash = SHA384\n' +
          'secure-sig = RSA-SHA256\nsecure-sig = ECDSA-SHA384\nsecure-sig = RSA-PSS-RSAE-SHA256\nenabled-version = TLS1.3\n' +
          'enabled-version = TLS1.2\nenabled-curve = SECP256R1\nenabled-curve = SECP384R1\ntls-enabled-group = GROUP-SECP384R1\n' +
          'tls-enabled-group = SECP256R1\ntls-enabled-cipher = AES-256-GCM\ntls-enabled-cipher = AES-128-CBC\n' +
          'tls-enabled-mac = AEAD\ntls-enabled-mac = SHA1\ntls-enabled-kx = ECDHE-RSA\n[priorities]\nSYSTEM=NONE\n',
        'SYSTEM=NORMAL\nnonsense\n'
      ]
      const texts = ['@SYSTEM', '@LIBVIRT,SYSTEM', '@libvirt,SYSTEM:-AES-256-GCM', '@NOBODY', '@NOBODY,SYSTEM:%COMPAT', 'NORMAL', '@']
      for (const configuration of configurations) {
        await writeFile(file, configuration)
        const policy = parsePolicy(configuration, file)
        // What a policy of allowances does not allow is still listed, and not used: gnutls-cli does not tell.
        for (const text of texts.filter(text => !policy.allows || text.startsWith('@'))) {
          const theirs = await gnutls(text, file)
          const found = ours(text, policy)
          for (const list of LISTS) expect(found?.[list], `${list} of ${text} with\n${configuration}`).to.deep.equal(theirs?.[list])
        }
      }
    })
  })

  describe('beside libvirtd', () => {
    const PORT = 16514
    const PRIORITIES = [
      'NORMAL', 'LEGACY', 'SECURE128', 'SECURE192', 'SECURE256', 'SUITEB128', 'SUITEB192', 'SECURE256:+SECURE128',
      'PERFORMANCE:%SERVER_PRECEDENCE', 'NORMAL:-CIPHER-ALL:+AES-128-GCM', 'NORMAL:%PROFILE_MEDIUM', 'NORMAL:%PROFILE_ULTRA',
      'NORMAL:%VERIFY_ALLOW_SIGN_WITH_SHA1',
      'NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:+SIGN-ECDSA-SHA384'
    ]
    const KINDS: KeyKind[] = ['rsa-1024', 'rsa', 'rsa-3072', 'ecdsa', 'ecdsa-384', 'ed25519']
    let host: PrivateHost
    let pki: Pki
    let server: Credentials
    let clients: { who: string; attempt: Attempt }[]

    before(async () => {
      host = await PrivateHost.start(cleanup, { ownPids: false })
      pki = await Pki.make(cleanup)
      const weak = await pki.authority('Weak CA', {}, 'rsa-1024')
      const large = await pki.authority('Large CA', {}, 'ecdsa-384')
      // Without a key usage: libvirtd wants keys on curves to encipher too.
      server = await pki.opensslClient('/CN=server', ['subjectAltName = IP:127.0.0.1'], 'ecdsa-384', { by: large, digest: 'sha384' })
      const { stdout: all } = await mustRun(['cat', ...[pki.ca, weak, large].map(({ certificate }) => certificate)])
      await writeFile(join(pki.dir, 'all'), all)
      const versions = ['TLSv1.2', 'TLSv1.3'] as const
      clients = []
      const add = async (who: string, by: Authority, kind: KeyKind, digest?: string): Promise<void> => {
        const credentials = await pki.opensslClient(`/CN=${who}`, ['basicConstraints = CA:FALSE'], kind, { by, digest })
        for (const version of versions) clients.push({ who: `${who} in ${version}`, attempt: { ...credentials, version } })
      }
      for (const kind of KINDS) await add(`${kind}`, large, kind, 'sha384')
      await add('rsa-3072 of a weak authority', weak, 'rsa-3072')
      await add('ecdsa of an authority with a small curve', pki.ca, 'ecdsa')
      await add('rsa-3072 with SHA-1', pki.ca, 'rsa-3072', 'sha1')
      const strong = clients.find(({ who }) => who.startsWith('ecdsa-384'))!.attempt
      for (const options of [
        ...['P-256', 'P-384', 'P-521', 'X25519', 'X448'].map(ecdhCurve => ({ ecdhCurve })),
        ...['ECDSA+SHA256', 'ECDSA+SHA384', 'ECDSA+SHA512', 'ECDSA+SHA1'].map(sigalgs => ({ sigalgs }))
      ]) {
        for (const version of versions) {
          clients.push({ who: `${JSON.stringify(options)} in ${version}`, attempt: { ...strong, version, options } })
        }
      }
    })

    async function outcomes(daemon: 'libvirtd' | 'virtbrokerd', priority: string): Promise<Record<string, string>> {
      const trial = await Trial.start(host, daemon, {
        listen_tls: 1, ca_file: join(pki.dir, 'all'), cert_file: server.certificate, key_file: server.key, tls_priority: priority
      })
      expect(await trial.outcome(), trial.log).to.equal('serves')
      const found = await attempts(host, PORT, clients.map(({ attempt }) => attempt))
      await trial.stop()
      return Object.fromEntries(clients.map(({ who }, index) => [who, found[index]!]))
    }

    for (const priority of PRIORITIES) {
      it(`${priority} lets the same clients in, with the same suites`, async () => {
        const theirs = await outcomes('libvirtd', priority)
        const found = await outcomes('virtbrokerd', priority)
        // OpenSSL takes a curve in a certificate of TLS 1.2 only where it is a group too (docs/differences.md).
        if (/^SECURE(192|256)$/.test(priority)) {
          for (const who of ['ecdsa in TLSv1.2', 'ecdsa of an authority with a small curve in TLSv1.2']) {
            expect(theirs[who], who).not.to.equal('refused')
            theirs[who] = 'refused'
          }
        }
        expect(found).to.deep.equal(theirs)
      })
    }

    it('RSA-1024 and P-256 are refused with SECURE256', async () => {
      const found = await outcomes('virtbrokerd', 'SECURE256')
      const refused = Object.keys(found).filter(who => found[who] === 'refused')
      expect(refused).to.include.members(['rsa-1024 in TLSv1.2', 'rsa-1024 in TLSv1.3', 'ecdsa in TLSv1.2', 'ecdsa in TLSv1.3'])
      expect(refused).not.to.include.members(['rsa-3072 in TLSv1.3', 'ecdsa-384 in TLSv1.3'])
    })
  })
})
