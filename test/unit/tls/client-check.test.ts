import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { RevokedSerials } from '#workers/tls/revoked-serials.js'
import { ClientCheck } from '#workers/tls/client-check.js'
import type { Presented } from '#workers/tls/presented.js'
import { oidText, readDer } from '#workers/tls/der.js'
import { alternativeNames, commonName, craft, longOid, name, rdn, TYPE } from '../../support/crafted-certificates.js'

const OK = { code: 0, text: 'ok' }
const SELF_SIGNED = { code: 18, text: 'self-signed certificate' }
const EMAIL = Buffer.from('06092a864886f70d010901', 'hex')

/** A client whose certificate OpenSSL found to be so; notes what of it was asked for. */
class Client implements Presented {
  readonly asked: string[] = []

  constructor(
    readonly verdict: { code: number; text: string } | undefined,
    readonly names: Buffer,
    readonly list: readonly Buffer[] = [craft({ subject: names })]
  ) {}

  verification(): { code: number; text: string } | undefined {
    return this.verdict
  }

  subject(): Buffer {
    this.asked.push('subject')
    return this.names
  }

  certificates(): Buffer[] {
    this.asked.push('certificates')
    return [...this.list]
  }
}

const all = new ClientCheck({ allowedNames: undefined, revoked: RevokedSerials.share([]), least: tlsPriority().least })

describe('the check of a client\'s certificate', () => {
  it('looks at nothing but the name where nobody vouches for it', () => {
    const client = new Client(SELF_SIGNED, commonName('stranger'))
    expect(all.judge(client)).to.deep.equal({
      name: 'CN=stranger',
      refusal: "Certificate failed validation: The certificate hasn't got a known issuer. (self-signed certificate)",
      warnings: []
    })
    expect(client.asked).to.deep.equal(['subject'])
  })

  it('gives up a stranger\'s name that cannot be read', () => {
    for (const names of [Buffer.from('3005', 'hex'), name(rdn('x', TYPE.utf8, longOid(3000))), Buffer.alloc(0)]) {
      const verdict = all.judge(new Client(SELF_SIGNED, names))
      expect(verdict.name).to.equal(undefined)
      expect(verdict.refusal).to.match(/^Certificate failed validation/)
    }
  })

  it('asks for nothing at all where there is none', () => {
    const client = new Client(undefined, commonName('nobody'))
    expect(all.judge(client).refusal).to.equal('Unable to verify TLS peer: No certificate was found.')
    expect(client.asked).to.deep.equal([])
  })

  it('refuses one that is vouched for, but cannot be read', () => {
    const client = new Client(OK, commonName('x'), [craft({ subject: name(rdn('x', TYPE.utf8, longOid(3000))) })])
    expect(all.judge(client).refusal).to.equal('Certificate cannot be read: an object identifier of 3000 bytes')
    expect(all.judge(new Client(OK, commonName('x'), [Buffer.from('30023000', 'hex')])).refusal).to.match(
      /^Certificate cannot be read: /
    )
  })

  it('refuses names with characters that are not text, whatever the list of allowed names says', () => {
    const allowing = new ClientCheck({ allowedNames: ['*'], revoked: RevokedSerials.share([]), least: tlsPriority().least })
    const refusal = (names: Buffer): string | undefined => allowing.judge(new Client(OK, names)).refusal
    const refused = "Client's Distinguished Name holds characters that are not text"
    expect(refusal(commonName('admin\0.tenant.example'))).to.equal(refused)
    expect(refusal(commonName('admin\n'))).to.equal(refused)
    expect(refusal(commonName('admin\x7f'))).to.equal(refused)
    expect(refusal(commonName('admin\u0085'))).to.equal(refused)
    expect(refusal(commonName('admin\ufffd'))).to.equal(refused)
    expect(refusal(name(rdn('admin\0', TYPE.printable)))).to.equal(refused)
    expect(refusal(name(rdn('a@b\0', TYPE.ia5, EMAIL), rdn('fine')))).to.equal(refused)
    expect(refusal(name(rdn('fine'), rdn(Buffer.from('\0a\0\0\0b', 'latin1'), TYPE.bmp)))).to.equal(refused)
    expect(refusal(name(rdn('Käse ☃ 𝄞'), rdn(Buffer.from('\0a\0b', 'latin1'), TYPE.bmp)))).to.equal(undefined)
  })

  it('shows values that are no text as hexadecimal, so that no two are the same', () => {
    const named = (value: Buffer): string | undefined => all.judge(new Client(OK, name(rdn(value, TYPE.printable)))).name
    expect(named(Buffer.from('a\xe4b', 'latin1'))).to.equal('CN=#130361e462')
    expect(named(Buffer.from('a\xf6b', 'latin1'))).to.equal('CN=#130361f662')
  })

  it('reads long lists in time that grows no faster than they do', () => {
    const hosts = Array.from({ length: 3000 }, (_, i) => `host-${i}.example`)
    const long = craft({ subject: commonName('x'), extensions: [alternativeNames(hosts)] })
    const client = new Client(OK, commonName('x'), [long, long])
    const times = Array.from({ length: 20 }, () => {
      const before = performance.now()
      expect(all.judge(client).refusal).to.equal(undefined)
      return performance.now() - before
    })
    expect(Math.min(...times)).to.be.below(10)
  })

  it('knows RSA keys, which must be allowed to encipher, from others', () => {
    // Critical, digital signature alone.
    const usage = Buffer.from('300e0603551d0f0101ff040403020780', 'hex')
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const judged = (more: object): string | undefined =>
      all.judge(new Client(OK, commonName('x'), [craft({ extensions: [usage], ...more })])).refusal
    expect(judged({ key: privateKey })).to.equal('Certificate [session] usage does not permit key encipherment')
    expect(judged({})).to.equal(undefined)
  })
})

describe('object identifiers', () => {
  it('are written out in dots', () => {
    expect(oidText(readDer(Buffer.from('06092a864886f70d010101', 'hex')))).to.equal('1.2.840.113549.1.1.1')
    // An arc of 128 bits, as UUIDs make them.
    expect(oidText(readDer(Buffer.from('061469838382bb8efdcaeae8d9c1b6f8e2a5cfa3d75f', 'hex')))).to.match(/^2\.25\.\d{38,}$/)
  })

  it('that are longer than any in use are refused before any of that', () => {
    expect(() => oidText(readDer(longOid(64_000)))).to.throw('an object identifier of 64000 bytes')
    expect(oidText(readDer(longOid(128)))).to.match(/^1\.2\.\d{260,}$/)
  })
})
