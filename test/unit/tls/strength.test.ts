import { expect } from 'chai'
import { leastStrength } from '#main/config/tls-priority/profiles.js'
import { weakness, type CertificateStrength } from '#workers/tls/strength.js'

const rsa = (keyBits: number, digest = 'sha256', bits = 128): CertificateStrength => ({
  key: 'rsa', keyBits, curve: undefined, signedBy: 'other', digest: { name: digest, bits }, version: 3
})
const curve = (keyBits: number, name: string, digest = 'sha256', bits = 128): CertificateStrength => ({
  key: 'curve', keyBits, curve: name, signedBy: 'ecdsa', digest: { name: digest, bits }, version: 3
})
const p256 = curve(256, 'prime256v1')
const p384 = curve(384, 'secp384r1', 'sha384', 192)
const low = leastStrength('LOW', new Set())
const high = leastStrength('HIGH', new Set())

describe('the strength of a chain', () => {
  it('is that of the weakest key, the trusted one included', () => {
    expect(weakness([rsa(3072), rsa(4096)], high)).to.equal(undefined)
    expect(weakness([rsa(3071), rsa(4096)], high)).to.equal('an RSA key of 3071 bits, and 3072 are wanted')
    expect(weakness([rsa(3072), rsa(3072), rsa(1024)], high)).to.equal('an RSA key of 1024 bits, and 3072 are wanted')
    expect(weakness([p256], leastStrength('ULTRA', new Set()))).to.equal('a key on a curve of 256 bits, and 384 are wanted')
    expect(weakness([{ ...rsa(100), key: 'other' }], high)).to.equal('a key with a strength of 100 bits, and 128 are wanted')
  })

  it('is that of the weakest signature, but for the one on the trusted certificate', () => {
    const sha1 = rsa(2048, 'sha1', 80)
    expect(weakness([sha1, rsa(2048)], low)).to.equal('a signature by sha1')
    expect(weakness([rsa(2048), sha1], low)).to.equal(undefined)
    expect(weakness([{ ...rsa(2048), digest: undefined }, rsa(2048)], low)).to.equal('a signature of an unknown kind')
    expect(weakness([rsa(4096, 'sha224', 112), rsa(4096)], high)).to.equal('a signature by sha224')
  })

  it('may have digests that the options allow, if they are strong enough', () => {
    const sha1 = [rsa(2048, 'sha1', 80), rsa(2048)]
    const md5 = [rsa(2048, 'md5', 64), rsa(2048)]
    const allowed = (profile: 'LOW' | 'MEDIUM' | undefined, option: string) => leastStrength(profile, new Set([option]))
    expect(weakness(sha1, allowed('LOW', 'VERIFY_ALLOW_SIGN_WITH_SHA1'))).to.equal(undefined)
    expect(weakness(sha1, allowed('MEDIUM', 'VERIFY_ALLOW_SIGN_WITH_SHA1'))).to.equal('a signature by sha1')
    expect(weakness(md5, allowed('LOW', 'VERIFY_ALLOW_BROKEN'))).to.equal('a signature by md5')
    expect(weakness(md5, allowed(undefined, 'VERIFY_ALLOW_BROKEN'))).to.equal(undefined)
    expect(weakness([rsa(2048, 'md4', 64), rsa(2048)], allowed(undefined, 'VERIFY_ALLOW_BROKEN'))).to.equal('a signature by md4')
  })

  it('is what RFC 5759 says, for Suite B', () => {
    const outside = 'a certificate that is not of Suite B'
    const b128 = leastStrength('SUITEB128', new Set())
    const b192 = leastStrength('SUITEB192', new Set())
    const p256By384 = curve(256, 'prime256v1', 'sha384', 192)
    expect(weakness([p256, p256], b128)).to.equal(undefined)
    expect(weakness([p256By384, p384], b128)).to.equal(undefined)
    expect(weakness([p384, p384], b192)).to.equal(undefined)
    for (const chain of [
      [p256],
      [rsa(4096), p256],
      [p256, rsa(4096)],
      [p384, p256],
      [p256, p384],
      [curve(256, 'secp256k1'), p256],
      [{ ...p256, version: 1 }, p256],
      [{ ...p256, signedBy: 'other' as const }, p256],
      [curve(256, 'prime256v1', 'sha512', 256), p256]
    ]) expect(weakness(chain, b128), JSON.stringify(chain)).to.equal(outside)
    expect(weakness([p256By384, p384], b192)).to.equal(outside)
  })
})
