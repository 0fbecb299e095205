import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { EXIT, StartupError } from '#main/config/startup-error.js'
import type { TlsFiles } from '#main/config/tls-files.js'
import { RevokedSerials } from '#workers/tls/revoked-serials.js'
import { loadTls, type TlsOptions } from '#main/tls/load.js'
import type { Logger } from '#main/log/logger.js'
import { TlsKeeper } from '#main/tls/keeper.js'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { readPem } from '#workers/tls/certificate.js'
import { Cleanup } from '../support/cleanup.js'
import { Pki, type Credentials } from '../support/pki.js'
import { mustRun } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'

/** What is logged does not matter here. */
const logger = { info: () => undefined, log: () => undefined } as unknown as Logger

const PAST = { activation_date: '2020-01-01 00:00:00', expiration_date: '2021-01-01 00:00:00' }
const FUTURE = { activation_date: '2040-01-01 00:00:00', expiration_date: '2041-01-01 00:00:00' }

describe('TLS files', () => {
  const cleanup = new Cleanup()
  let pki: Pki
  let good: Credentials

  before(async () => {
    pki = await Pki.make(cleanup)
    good = await pki.server()
  })

  after(() => cleanup.run())

  const options = (own: Credentials, more: Partial<TlsFiles> & { sanity?: boolean } = {}): TlsOptions => ({
    files: { ca: more.ca ?? pki.ca.certificate, crl: more.crl, identities: [own], indexed: more.indexed ?? [] },
    priority: tlsPriority(),
    sanity: more.sanity ?? true,
    verify: true,
    allowedNames: undefined
  })

  async function refusal(wanted: TlsOptions): Promise<string> {
    try {
      await loadTls(wanted)
    } catch (error) {
      expect(error).to.be.instanceOf(StartupError)
      expect((error as StartupError).exitCode).to.equal(EXIT.network)
      return (error as Error).message
    }
    throw new Error('these files are not refused')
  }

  it('that are good load without a warning', async () => {
    const { settings, warnings } = await loadTls(options(good))
    expect(warnings).to.deep.equal([])
    expect(settings.context.authorities).to.have.length(1)
  })

  it('that are missing are named', async () => {
    const none = '/nonexistent.pem'
    expect(await refusal(options(good, { ca: none }))).to.equal(
      `Cannot read CA certificate '${none}': No such file or directory`
    )
    expect(await refusal(options({ ...good, certificate: none }))).to.equal(
      `Cannot read certificate '${none}': No such file or directory`
    )
    expect(await refusal(options({ ...good, key: none }))).to.equal(
      `Cannot read private key '${none}': No such file or directory`
    )
    expect((await loadTls(options(good, { crl: none }))).warnings).to.deep.equal([])
  })

  it('that hold something else are named', async () => {
    const file = join(pki.dir, 'nonsense')
    await writeFile(file, 'nonsense\n')
    expect(await refusal(options({ ...good, certificate: file }))).to.equal(`Unable to import server certificate ${file}`)
    expect(await refusal(options(good, { ca: file }))).to.equal(`Unable to import CA certificate list ${file}`)
    expect(await refusal(options({ ...good, key: file }))).to.match(/^Unable to set x509 key and certificate: /)
    expect(await refusal(options(good, { crl: file }))).to.match(/^Unable to set x509 certificate revocation list: /)
  })

  it('of a certificate and a key that do not match are refused', async () => {
    const key = await pki.key('rsa', 'other')
    expect(await refusal(options({ ...good, key }))).to.equal(
      `Unable to set x509 key and certificate: ${key}, ${good.certificate}: The certificate and the given key do not match.`
    )
  })

  it('of a server are checked as libvirt does', async () => {
    const expectRefused = async (own: Credentials, text: string): Promise<void> => {
      expect(await refusal(options(own))).to.equal(text.replace('F', own.certificate))
    }
    await expectRefused(await pki.server(PAST), 'The server certificate F has expired')
    await expectRefused(await pki.server(FUTURE), 'The server certificate F is not yet active')
    await expectRefused(
      await pki.server({ ca: true }),
      'The certificate F basic constraints show a CA, but we need one for a server'
    )
    await expectRefused(
      await pki.opensslClient('/CN=s', ['keyUsage = critical,keyEncipherment']),
      'Certificate F usage does not permit digital signature'
    )
    await expectRefused(
      await pki.opensslClient('/CN=s', ['extendedKeyUsage = critical,clientAuth']),
      'Certificate F purpose does not allow use for with a TLS server'
    )
  })

  it('of a server with a purpose that is only advice give a warning', async () => {
    const own = await pki.opensslClient('/CN=s', ['extendedKeyUsage = clientAuth', 'keyUsage = digitalSignature'])
    expect((await loadTls(options(own))).warnings).to.deep.equal([
      `Certificate ${own.certificate} usage does not permit key encipherment`,
      `Certificate ${own.certificate} purpose does not allow use for with a TLS server`
    ])
  })

  it('of an authority are checked as libvirt does', async () => {
    const expectRefused = async (ca: string, text: string): Promise<void> => {
      expect(await refusal(options(good, { ca }))).to.equal(text.replace('F', ca))
    }
    await expectRefused((await pki.authority('Old CA', PAST)).certificate, 'The CA certificate F has expired')
    await expectRefused(good.certificate, 'The certificate F basic constraints do not show a CA')
    const bare = await pki.opensslClient('/CN=bare', ['subjectKeyIdentifier = hash'])
    await expectRefused(bare.certificate, 'The certificate F is missing basic constraints for a CA')
  })

  it('of another authority than the server\'s are refused', async () => {
    const { certificate } = await pki.authority('Other CA')
    expect(await refusal(options(good, { ca: certificate }))).to.equal(
      `Our own certificate ${good.certificate} failed validation against ${certificate}: ` +
        "The certificate hasn't got a known issuer."
    )
  })

  it('may be what they are where nobody wants them checked', async () => {
    const { expiries } = await loadTls(options(await pki.server(PAST), { sanity: false }))
    expect(expiries.map(({ notAfter }) => notAfter)).to.include(Date.UTC(2021, 0, 1))
  })

  it('with a revocation list that is out of date are taken, with a warning', async () => {
    const crl = await pki.revoke([good.certificate])
    const { warnings, settings } = await loadTls(options(good, { crl, sanity: false }), Date.now() + 31 * 24 * 3600 * 1000)
    expect(warnings[0]).to.match(/^the revocation list '.*' is out of date since 2/)
    expect(new RevokedSerials(settings.revoked).size).to.equal(1)
  })

  it('with a revocation list that another key of the same name has signed are taken, with a warning', async () => {
    const former = { ...pki.ca, key: await pki.key('ecdsa', 'former') }
    const crl = await pki.revoke([good.certificate], former)
    const { settings, warnings } = await loadTls(options(good, { crl }))
    expect(warnings).to.deep.equal([
      `'${crl}' holds a list that the CA certificate of its issuer's name has not signed; it counts all the same`
    ])
    expect(new RevokedSerials(settings.revoked).size).to.equal(1)
    expect(settings.context.authorities).to.have.length(1)
  })

  it('with a revocation list that tls_priority has no use for are taken without it', async () => {
    const crl = await pki.revoke([good.certificate])
    const { settings } = await loadTls({ ...options(good, { crl }), priority: tlsPriority('NORMAL:%VERIFY_DISABLE_CRL_CHECKS') })
    expect(new RevokedSerials(settings.revoked).size).to.equal(0)
  })

  it('with a key that is encrypted are refused, with that reason', async () => {
    const key = join(pki.dir, 'encrypted')
    for (const form of [['rsa', '-aes128', '-traditional'], ['pkcs8', '-topk8', '-v2', 'aes128']]) {
      await mustRun(['openssl', ...form, '-in', good.key, '-passout', 'pass:x', '-out', key])
      expect(await refusal(options({ ...good, key }))).to.equal(
        `Unable to set x509 key and certificate: ${key}, ${good.certificate}: ` +
        'the key is encrypted, and nobody can be asked for its password'
      )
    }
  })

  describe('with several identities in the usual places', () => {
    let pairs: { ecdsa: Credentials; ed25519: Credentials }

    before(async () => {
      pairs = { ecdsa: await pki.server({}, { kind: 'ecdsa' }), ed25519: await pki.server({}, { kind: 'ed25519' }) }
    })

    const none = { certificate: '/nonexistent/cert.pem', key: '/nonexistent/key.pem' }
    const kinds = async (own: Credentials, indexed: Credentials[]): Promise<string[]> => {
      const { settings } = await loadTls(options(own, { indexed }))
      return settings.context.identities.map(({ key }) => createPrivateKey(key).asymmetricKeyType!)
    }

    it('load all of them, up to the first that is not there', async () => {
      expect(await kinds(good, [pairs.ecdsa, pairs.ed25519, none, none])).to.deep.equal(['rsa', 'ec', 'ed25519'])
      expect(await kinds(good, [pairs.ecdsa, none, pairs.ed25519, none])).to.deep.equal(['rsa', 'ec'])
      expect(await kinds(good, [none, pairs.ecdsa, none, none])).to.deep.equal(['rsa'])
    })

    it('need no identity without a number', async () =>
      expect(await kinds(none, [pairs.ecdsa, pairs.ed25519, none, none])).to.deep.equal(['ec', 'ed25519']))

    it('refuse all where half of one is missing, or one does not fit', async () => {
      const broken = (own: Credentials, pair: Credentials): Promise<string> => refusal(options(own, { indexed: [pairs.ecdsa, pair] }))
      expect(await broken(good, { ...pairs.ed25519, key: none.key })).to.match(/^Cannot read private key '\/nonexistent/)
      expect(await broken(good, { ...pairs.ed25519, certificate: none.certificate })).to.match(/^Cannot read certificate '\/nonexistent/)
      expect(await broken({ ...good, key: none.key }, pairs.ed25519)).to.match(/^Cannot read private key '\/nonexistent/)
      expect(await broken(good, { ...pairs.ed25519, key: good.key })).to.match(/do not match\.$/)
      const why = await refusal(options(none, { indexed: [none] }))
      expect(why).to.equal(`Cannot read certificate '${none.certificate}': No such file or directory`)
    })

    it('are looked for anew at each reload, and all stay as they were if one does not fit', async () => {
      const dir = await tempDir(cleanup)
      const pair = (name: string): Credentials => ({ certificate: join(dir, `cert${name}`), key: join(dir, `key${name}`) })
      const place = async (from: Credentials, to: Credentials): Promise<void> => {
        await copyFile(from.certificate, to.certificate)
        await copyFile(from.key, to.key)
      }
      const indexed = ['0', '1', '2', '3'].map(pair)
      await place(good, pair(''))
      const keeper = await TlsKeeper.start(options(pair(''), { indexed }), logger)
      const count = (): number => keeper.settings.context.identities.length
      const reload = async (): Promise<void> => keeper.use(await keeper.load())
      expect(count()).to.equal(1)
      await place(pairs.ecdsa, indexed[0]!)
      await reload()
      expect(count()).to.equal(2)
      await place({ ...pairs.ed25519, key: good.key }, indexed[1]!)
      await reload().then(() => expect.fail('taken'), (error: Error) => expect(error.message).to.match(/do not match/))
      expect(count()).to.equal(2)
      await place(pairs.ed25519, indexed[1]!)
      await reload()
      expect(count()).to.equal(3)
      keeper.close()
    })

    it('use the first of each kind of key, and say so', async () => {
      const second = await pki.server({ organization: 'second' })
      const { settings, warnings } = await loadTls(options(good, { indexed: [second, pairs.ecdsa] }))
      expect(settings.context.identities).to.have.length(2)
      expect(warnings).to.deep.equal([
        `'${second.certificate}' is not used: the key of '${good.certificate}' is of the same kind (rsa)`
      ])
    })
  })
})

describe('names in certificates', () => {
  const cleanup = new Cleanup()
  let pki: Pki

  before(async () => {
    pki = await Pki.make(cleanup)
  })

  after(() => cleanup.run())

  const subjects = [
    '/C=GB/ST=London/L=London/O=Red Hat/CN=client1',
    '/CN=client1/O=Red Hat/C=GB',
    '/O=One, Two/OU=a+OU=b/OU=Team  One/CN=#first',
    '/O= leading and trailing /CN="quoted" <x> a;b\\\\c',
    '/CN=Käse ☃ 𝄞/OU=日本',
    '/DC=org/DC=example/UID=fred/emailAddress=fred@example.org',
    '/serialNumber=12/title=Dr/GN=Fred/SN=Smith/initials=FS/street=Way 1/description=a=b',
    '/postalCode=12345/businessCategory=x/pseudonym=y/dnQualifier=z/name=n/generationQualifier=III',
    '/CN=x/2.5.4.97=VATDE-1/1.3.6.1.4.1.311.20.2.3=user'
  ]
  for (const subject of subjects) {
    it(`${subject} reads as with virt-pki-query-dn`, async () => {
      const { certificate } = await pki.opensslClient(subject, ['basicConstraints = CA:FALSE'], 'ecdsa')
      const [read] = readPem(readFileSync(certificate, 'latin1'))
      expect(read!.name).to.equal(await pki.nameOf(certificate))
    })
  }
})
