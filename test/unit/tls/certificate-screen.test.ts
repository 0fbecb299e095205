import { generateKeyPairSync } from 'node:crypto'
import { expect } from 'chai'
import { MAX_CERTIFICATES, screen } from '#workers/tls/certificate-screen.js'
import {
  alternativeNames,
  craft,
  der,
  extension,
  isAuthority,
  keyOnNamelessCurve,
  longOid,
  name,
  rdn,
  relativePoints,
  rsaKey
} from '../../support/crafted-certificates.js'

const TLS_1_2 = 0x0303
const TLS_1_3 = 0x0304
const F4 = Buffer.from([1, 0, 1])

const sized = (width: number, bytes: Buffer): Buffer => {
  const length = Buffer.alloc(width)
  length.writeUIntBE(bytes.length, 0, width)
  return Buffer.concat([length, bytes])
}

/** The Certificate message of TLS. */
function message(certificates: readonly Buffer[], version: number): Buffer {
  const isNew = version === TLS_1_3
  const entries = certificates.map(certificate => Buffer.concat([sized(3, certificate), Buffer.alloc(isNew ? 2 : 0)]))
  const body = Buffer.concat([Buffer.alloc(isNew ? 1 : 0), sized(3, Buffer.concat(entries))])
  return Buffer.concat([Buffer.from([11]), sized(3, body)])
}

const spki = (key: { export(options: { type: 'spki'; format: 'der' }): Buffer }): Buffer =>
  key.export({ type: 'spki', format: 'der' })

describe('the screen for certificates of clients', () => {
  for (const [version, title] of [[TLS_1_2, 'TLS 1.2'], [TLS_1_3, 'TLS 1.3']] as const) {
    describe(`over ${title}`, () => {
      const verdict = (...certificates: Buffer[]): string | undefined => screen(message(certificates, version), version)

      it('lets no certificate at all, one, and as many as GnuTLS verifies pass', () => {
        expect(verdict()).to.equal(undefined)
        expect(verdict(craft())).to.equal(undefined)
        expect(verdict(...Array<Buffer>(MAX_CERTIFICATES).fill(craft()))).to.equal(undefined)
      })

      it('stops one more than these', () => {
        expect(verdict(...Array<Buffer>(MAX_CERTIFICATES + 1).fill(craft()))).to.equal('more than 16 certificates')
        expect(verdict(...Array<Buffer>(1000).fill(Buffer.from('nonsense')))).to.equal('more than 16 certificates')
      })

      it('looks at those sent along as well', () => {
        expect(verdict(craft(), craft({ publicKey: keyOnNamelessCurve() }))).to.equal('a key on a curve without a name')
      })
    })
  }

  const verdict = (certificate: Buffer): string | undefined => screen(message([certificate], TLS_1_3), TLS_1_3)

  it('lets the usual keys pass', () => {
    for (const namedCurve of ['P-256', 'P-384', 'P-521', 'brainpoolP512r1']) {
      expect(verdict(craft({ publicKey: spki(generateKeyPairSync('ec', { namedCurve }).publicKey) }))).to.equal(undefined)
    }
    for (const bits of [1024, 2048, 4096, 8192]) expect(verdict(craft({ publicKey: rsaKey(bits, F4) }))).to.equal(undefined)
    expect(verdict(craft({ publicKey: spki(generateKeyPairSync('ed25519').publicKey) }))).to.equal(undefined)
    expect(verdict(craft({ publicKey: spki(generateKeyPairSync('ed448').publicKey) }))).to.equal(undefined)
    const { publicKey } = generateKeyPairSync('rsa-pss', {
      modulusLength: 1024,
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' }
    })
    expect(verdict(craft({ publicKey }))).to.equal(undefined)
  })

  it('stops keys that are dear to work with', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' })
    expect(verdict(craft({ publicKey: spki(publicKey) }))).to.equal('a key on a curve without a name')
    expect(verdict(craft({ publicKey: keyOnNamelessCurve() }))).to.equal('a key on a curve without a name')
    expect(verdict(craft({ publicKey: rsaKey(16_384, F4) }))).to.equal('an RSA key of 16384 bits')
    expect(verdict(craft({ publicKey: rsaKey(2048, Buffer.alloc(9, 0x7f)) }))).to.equal(
      'an RSA key with an exponent of 72 bits'
    )
    const dsa = generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 })
    expect(verdict(craft({ publicKey: spki(dsa.publicKey) }))).to.equal('a key of an unknown kind')
  })

  it('stops points of distribution with a relative name, and no others', () => {
    expect(verdict(craft({ extensions: [isAuthority(), relativePoints(1)] }))).to.equal(
      'a relative name of a point of distribution'
    )
    const full = der(0x30, der(0x30, der(0xa0, der(0xa0, der(0x86, Buffer.from('http://crl.example/'))))))
    const oid = Buffer.from('0603551d1f', 'hex')
    expect(verdict(craft({ extensions: [extension(oid, full)] }))).to.equal(undefined)
    // The value in pieces, which OpenSSL would put together.
    const pieces = der(0x30, oid, der(0x24, der(0x04, full)))
    expect(verdict(craft({ extensions: [pieces] }))).to.equal('certificate cannot be read: unexpected tag')
  })

  it('stops long names, and long certificates', () => {
    expect(verdict(craft({ subject: name(rdn('x'.repeat(5000))) }))).to.equal('a name of more than 4096 bytes')
    expect(verdict(craft({ issuer: name(rdn('x', 12, longOid(64_000))) }))).to.equal('a name of more than 4096 bytes')
    const hosts = Array.from({ length: 4000 }, (_, i) => `host-${i}.example.com`)
    expect(verdict(craft({ extensions: [alternativeNames(hosts)] }))).to.match(/^a certificate of \d+ bytes$/)
    expect(verdict(craft({ extensions: [alternativeNames(hosts.slice(0, 2000))] }))).to.equal(undefined)
  })

  it('stops what it cannot read, wherever it is cut off', () => {
    const whole = message([craft({ extensions: [isAuthority()] })], TLS_1_3)
    for (let length = 9; length < whole.length; length++) {
      expect(screen(whole.subarray(0, length), TLS_1_3), `of ${length} bytes`).to.match(/^certificate cannot be read: /)
    }
    expect(verdict(Buffer.from('3080', 'hex'))).to.equal('certificate cannot be read: bad length')
    expect(verdict(Buffer.alloc(0))).to.equal('certificate cannot be read: cut off')
  })

  it('takes no longer for certificates of any make than a hundredth of a second', () => {
    const extensions = Array.from({ length: 3000 }, (_, i) =>
      extension(der(0x06, Buffer.from([0x2a, 3, 0x81 + (i >> 7), i & 127])), Buffer.from([5, 0]))
    )
    const list = message([craft({ extensions }), craft({ extensions })], TLS_1_3)
    const times = Array.from({ length: 20 }, () => {
      const before = performance.now()
      expect(screen(list, TLS_1_3)).to.equal(undefined)
      return performance.now() - before
    })
    expect(Math.min(...times)).to.be.below(10)
  })
})
